"use strict";
(() => {
  const { lookup, state, view, one, all, chosen } = window.flameReport;
  const { clip } = lookup;
  if (!clip) return;
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
    return `${start} On screen ${isStream ? "on the stream " : ""}is what was said of frame ${source}, ${age}.${missing}`;
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
  document.addEventListener("setting", () => { if (timer !== null) stop(); showSetting(); });
  showSetting();
})();
