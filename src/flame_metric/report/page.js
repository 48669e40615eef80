"use strict";
(() => {
  const lookup = JSON.parse(document.getElementById("lookup").textContent);
  const one = (selector, inside = document) => inside.querySelector(selector);
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const chosen = (name, usual) => Number(one(`input[name="${name}"]:checked`)?.value ?? usual);
  const state = { network: 0, rate: 0, scale: Math.max(0, lookup.scales.indexOf("as measured")), stop: 0, curves: 0 };

  // A view is what a network is worth at the setting; null where that is not known.
  const view = (network) => {
    const cell = lookup.networks[network].cells[state.rate][state.scale][state.stop];
    return cell < 0 ? null : lookup.networks[network].views[cell];
  };

  function showScores() {
    lookup.networks.forEach((_, network) => {
      const cells = view(network)?.cells;
      all(`[data-cell][data-network="${network}"]`).forEach((cell) => {
        cell.textContent = cells ? cells[Number(cell.dataset.cell)] : "–";
      });
    });
    const told = lookup.networks.map(({ name }, network) => {
      const found = view(network);
      if (!found) return `${name}: not known.`;
      const [, , , flame, , streaming] = found.cells;
      return `${name}: ${found.at}; FLAME ${flame}, streaming ${streaming}.`;
    });
    const said = one("#said");
    if (!said) return;
    said.textContent = told.join(" ");
    const command = view(state.network)?.command;
    one(".how").hidden = !command;
    one("#command").textContent = command ?? "";
  }

  function showClasses() {
    all("[data-of]").forEach((part) => { part.hidden = Number(part.dataset.of) !== state.network; });
    const found = view(state.network);
    one(`[data-setting="${state.network}"]`).textContent = found ? found.at : "not known at this setting";
    const table = one(`table[data-classes="${state.network}"]`);
    const columns = (found ? found.columns : Array(6).fill(-1)).map((place) => (place < 0 ? null : lookup.columns[place].split(" ")));
    columns.forEach((texts, column) => {
      all(`[data-column="${column}"]`, table).forEach((cell, row) => { cell.textContent = texts ? texts[row] : "–"; });
    });
    all("td.range svg", table).forEach((drawing, row) => drawRange(drawing, columns.slice(0, 3).map((texts) => texts?.[row])));
  }

  function drawRange(drawing, texts) {
    const track = one(".track", drawing);
    const [left, right] = [Number(track.getAttribute("x1")), Number(track.getAttribute("x2"))];
    const places = texts.map((text) => (Number.isFinite(parseFloat(text)) ? left + (right - left) * parseFloat(text) : null));
    ["static", "flame", "stream"].forEach((name, index) => {
      const mark = one(`.${name}`, drawing);
      mark.setAttribute("opacity", places[index] === null ? 0 : 1);
      mark.setAttribute("transform", `translate(${places[index] ?? left} 9)`);
    });
    const known = places.filter((place) => place !== null);
    one(".span", drawing).setAttribute("x1", known.length ? Math.min(...known) : left);
    one(".span", drawing).setAttribute("x2", known.length ? Math.max(...known) : left);
  }

  function showCurve(drawing) {
    const [x0, x1, y0, y1] = drawing.dataset.plane.split(" ").map(Number);
    const longest = Number(drawing.dataset.longest);
    const show = (shape, isShown) => (isShown ? shape.removeAttribute("display") : shape.setAttribute("display", "none"));
    const several = lookup.networks.length > 1;
    const isWanted = (shape) => !several || shape.classList.contains(state.curves ? "streaming" : "flame");
    all(".rate", drawing).forEach((group) => show(group, Number(group.dataset.rate) === state.rate));
    all("path.flame:not(.mark), path.streaming:not(.mark)", drawing).forEach((line) => show(line, isWanted(line)));
    all("path.mark", drawing).forEach((mark) => {
      const found = view(Number(mark.dataset.network));
      const score = found?.y[mark.classList.contains("streaming") ? 1 : 0] ?? null;
      const isThere = score !== null && found.x <= longest;
      show(mark, isThere && isWanted(mark));
      if (isThere) mark.setAttribute("transform", `translate(${x0 + (x1 - x0) * found.x} ${y0 + (y1 - y0) * score})`);
    });
    const cursor = one(".cursor", drawing);
    const at = view(state.network)?.x ?? Infinity;
    show(cursor, at <= longest && (state.stop > 0 || !several));
    if (at <= longest) ["x1", "x2"].forEach((end) => cursor.setAttribute(end, x0 + (x1 - x0) * at));
  }

  function showLatency() {
    const slider = one("#latency");
    if (!slider) return;
    const found = view(state.network);
    const base = lookup.networks[state.network].own;
    if (state.stop === 0) {
      const near = lookup.stopsMs.map((stop) => Math.abs(stop - base.ms));
      slider.value = near.indexOf(Math.min(...near)) + 1;
    }
    const text = state.stop === 0 ? base.text : lookup.stops[state.stop - 1];
    const scaled = lookup.scales[state.scale] === "as measured" || !found ? text : `${text}, ${lookup.scales[state.scale]}: ${found.cells[0]}`;
    one("#latency-text").textContent = scaled;
    slider.setAttribute("aria-valuetext", scaled);
    one("#own").setAttribute("aria-pressed", state.stop === 0);
  }

  // The frames of a clip; returns what shows them at another setting.
  function playClip(clip) {
    const slider = one("#frame");
    const play = one("#play");
    let taken = []; // pictures that the camera takes
    let picture = Number(one("#frame").value);
    let timer = null;

    // Frames whose predictions are on screen at each picture, by number in the video; null where that is not known.
    const sources = (network, isStream) => {
      const number = view(network)?.shown?.[isStream ? 1 : 0] ?? -1;
      return number < 0 ? null : lookup.shown[number];
    };

    function put(screen, layer, uri) {
      const image = one(`[data-screen="${screen}"] [data-layer="${layer}"]`);
      image.classList.toggle("gone", !uri);
      if (uri) image.src = uri;
    }

    function name(screen, text) {
      one(`[data-screen="${screen}"] .which`).textContent = text;
      one(`[data-screen="${screen}"] [data-layer="frame"]`).alt = text;
    }

    function showFrame() {
      const network = clip.predictions[state.network] ? state.network : clip.predictions.findIndex(Boolean);
      const isStream = chosen("source", 0) === 1;
      const shown = sources(network, isStream);
      const source = shown ? shown[picture] : -2;
      const then = source < 0 ? -1 : source - clip.first;
      const seen = then < 0 ? null : clip.frames[then];
      const answer = then < 0 || !one("#with-prediction").checked ? null : clip.predictions[network][then];
      put("seen", "frame", seen);
      put("seen", "prediction", seen ? answer : null);
      put("now", "frame", clip.frames[picture]);
      put("now", "prediction", answer);
      put("now", "outline", one("#with-outline").checked ? clip.outlines[picture] : null);
      put("truth", "frame", clip.frames[picture]);
      put("truth", "truth", clip.truth[picture]);
      name("seen", seen ? `frame ${source}` : "nothing on screen yet");
      for (const screen of ["now", "truth"]) name(screen, `frame ${clip.first + picture}`);
      one("#moment").textContent = told(network, shown, source, then, isStream);
    }

    function told(network, shown, source, then, isStream) {
      const whose = clip.predictions.filter(Boolean).length > 1 ? `${lookup.networks[network].name}. ` : "";
      const frame = clip.first + picture;
      const start = `${whose}Frame ${frame} is current.`;
      if (!shown) return `${start} What is on screen is not known at this setting.`;
      if (source < 0) return `${start} Nothing is on screen yet.`;
      const late = frame - source;
      const time = lookup.interval[0] ? `, ${Number((late * lookup.interval[0]).toFixed(1))} ms` : "";
      const age = `${late} frame${late === 1 ? "" : "s"}${time} before`;
      const missing = then < 0 || !clip.predictions[network][then] ? " That prediction is not in this page." : "";
      return `${start} On screen ${isStream ? "on the stream " : ""}is the prediction for frame ${source}, ${age}.${missing}`;
    }

    function move(place) {
      slider.value = place;
      picture = taken[Number(slider.value)];
      const text = `${clip.first + picture}`;
      one("#frame-text").textContent = text;
      slider.setAttribute("aria-valuetext", `frame ${text}`);
      showFrame();
    }

    function showSetting() {
      const every = lookup.every[state.rate];
      taken = clip.frames.map((_, index) => index).filter((index) => (clip.first + index) % every === 0);
      slider.max = taken.length - 1;
      const near = taken.map((index) => Math.abs(index - picture));
      move(near.indexOf(Math.min(...near)));
    }

    function stop() {
      clearInterval(timer);
      timer = null;
      one("#moment").setAttribute("aria-live", "polite");
      play.textContent = "play";
      play.setAttribute("aria-pressed", "false");
    }

    slider.addEventListener("input", () => { stop(); move(Number(slider.value)); });
    play.addEventListener("click", () => {
      if (timer !== null) { stop(); return; }
      one("#moment").setAttribute("aria-live", "off"); // a reader of the page should not read each frame
      play.textContent = "stop";
      play.setAttribute("aria-pressed", "true");
      const next = () => move((Number(slider.value) + 1) % taken.length);
      timer = setInterval(next, lookup.interval[state.rate] || 100);
    });
    all('input[name="source"], #with-prediction, #with-outline').forEach((box) => box.addEventListener("change", showFrame));
    return () => { if (timer !== null) stop(); showSetting(); };
  }

  const showFrames = lookup.clip ? playClip(lookup.clip) : () => {};

  function show() {
    showScores();
    showClasses();
    all("svg.curve").forEach(showCurve);
    showLatency();
    showFrames();
  }

  all(".controls, .switch").forEach((part) => { part.hidden = false; });
  document.addEventListener("change", ({ target }) => {
    if (!["network", "rate", "scale", "curves"].includes(target.name)) return;
    state[target.name] = Number(target.value);
    show();
  });
  one("#latency")?.addEventListener("input", ({ target }) => {
    state.stop = Number(target.value);
    show();
  });
  one("#own")?.addEventListener("click", () => {
    state.stop = 0;
    show();
  });

  const theme = one("#theme");
  const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { theme.textContent = isDark() ? "light" : "dark"; theme.setAttribute("aria-label", `show in ${theme.textContent} colours`); };
  theme.hidden = false;
  theme.addEventListener("click", () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; nameTheme(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameTheme);
  nameTheme();

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all("details:not([open])");
    opened.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((part) => { part.open = false; }));

  for (const name of ["network", "rate", "scale", "curves"]) state[name] = chosen(name, state[name]);
  show();
})();
