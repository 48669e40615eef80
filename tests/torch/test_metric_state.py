"""The state of a FlameMetric: all of it travels together, and nothing of another configuration gets in."""

import copy
import io
import pickle
import warnings

import pytest

from flame_metric import FlameMeter, FlameWarning, Schedule, class_counts
from flame_metric.errors import LabelError, StateError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
torchmetrics = pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
FlameMetric = pytest.importorskip("flame_metric.torch.metric").FlameMetric
states = pytest.importorskip("flame_metric.torch.state")
SequenceIndex, ROW_STATES = states.SequenceIndex, states.ROW_STATES

A, B = torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 1]])
OPTIONS = {"num_classes": 2, "latency_ms": 26, "fps": "50/3", "ignore_index": 255}
STATES = {"ungrouped", "counts", "tallies", "faults", "configuration", "sequence_index"}


def make(*sequences, **options):
    """A metric with an open sequence, and whole clips of the given ids."""
    metric = FlameMetric(**{**OPTIONS, **options})
    metric.persistent(True)
    metric.update_pair(A, B, sequence="open")
    for sequence in sequences:
        metric.update_sequence([A, B, A], [B, A, A], sequence=sequence)
    return metric


def by_pickle(metric):
    return pickle.loads(pickle.dumps(metric))


def by_state_dict(metric):
    fresh = FlameMetric(**OPTIONS)
    fresh.load_state_dict(metric.state_dict())
    return fresh


def by_file(metric):
    file = io.BytesIO()
    torch.save(metric.state_dict(), file)
    file.seek(0)
    fresh = FlameMetric(**OPTIONS)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh


# ── copies ──


@pytest.mark.parametrize("copied", [by_pickle, by_state_dict, by_file, copy.deepcopy, FlameMetric.clone])
def test_copy_is_equal_and_goes_its_own_way(copied):
    metric = make("clip")
    before = metric.to_meter().to_json()
    twin = copied(metric)
    assert twin.to_meter().to_json() == before
    assert twin.compute() == metric.compute()  # without the warning of one that was never updated
    twin.update_pair(A, A, sequence="open")
    twin.update_pair(A, A, sequence="more")
    assert metric.to_meter().to_json() == before
    with pytest.raises(StateError, match="sequence 'clip' is closed"):
        twin.update_pair(A, A, sequence="clip")
    assert twin.result().sequences == ("clip", "more", "open")


def test_reset_forgets_counts_and_keeps_the_configuration():
    metric = make("clip")
    metric.reset()
    assert metric.to_meter().to_json() == FlameMeter(**OPTIONS).to_json()
    metric.update_sequence([A, A], [A, A], sequence="clip")
    metric.reset()
    metric.update_pair(A, B, sequence="open")
    assert metric.to_meter().to_json() == make().to_meter().to_json()


def test_a_metric_after_reset_may_score_by_schedule():
    metric = make("clip")
    metric.reset()
    metric.update_sequence([A], [A], sequence="clip", schedule=Schedule.fixed(1, 0))
    assert metric.result().frame_offset is None


# ── R15: saved, loaded, merged ──


def test_r15_state_dict_holds_counts_and_configuration():
    assert set(make("clip").state_dict()) == STATES
    module = torch.nn.ModuleDict({"network": torch.nn.Linear(1, 1), "metric": make("clip")})
    saved = module.state_dict()
    assert {f"metric.{name}" for name in STATES} <= set(saved)
    fresh = torch.nn.ModuleDict({"network": torch.nn.Linear(1, 1), "metric": FlameMetric(**OPTIONS)})
    fresh.load_state_dict(saved)
    assert fresh["metric"].result() == module["metric"].result()
    assert set(saved) == set(module.state_dict())  # loading takes nothing out of what it is given


def test_r15_loading_does_not_tie_the_metric_to_what_was_loaded():
    saved = make().state_dict()
    metric = FlameMetric(**OPTIONS)
    metric.load_state_dict(saved)
    metric.update_pair(A, A, sequence="open")
    assert saved["tallies"].tolist() == make().state_dict()["tallies"].tolist()


def test_r15_state_saved_without_the_metric_leaves_it_alone():
    metric = make("clip")
    other = make()
    other.persistent(False)
    assert dict(other.state_dict()) == {}
    metric.load_state_dict(other.state_dict())
    assert metric.result().sequences == ("clip", "open")


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"num_classes": 3}, "num_classes: 2 / 3"),
        ({"ignore_index": 0}, "ignore_index: 255 / 0"),
        ({"latency_ms": 100}, "frame_offset: 1 / 2; latency_ms: 26.0 / 100.0"),
        ({"before_first": "void"}, "before_first: skip / void"),
        ({"class_names": ["a", "b"]}, r"class_names: None / \('a', 'b'\)"),
        ({"hardware": "GTX"}, "hardware: None / GTX"),
    ],
)
def test_r15_other_configuration_is_refused(options, difference):
    metric, other = make("clip"), make("clip", **options)
    before = metric.to_meter().to_json()
    for join in (
        lambda: metric.load_state_dict(other.state_dict()),
        lambda: metric.merge_state(other),
        lambda: metric.merge_state(other.metric_state),
        lambda: torch.nn.ModuleList([metric]).load_state_dict(torch.nn.ModuleList([other]).state_dict()),
    ):
        with pytest.raises(StateError, match=f"another configuration than this metric: {difference}"):
            join()
    assert metric.to_meter().to_json() == before


def spoil(name, change):
    state = make("clip").state_dict()
    state[name] = change(state[name])
    return state


@pytest.mark.parametrize(
    ("state", "match"),
    [
        (lambda: {"counts": make().counts}, "the state lacks configuration, sequence_index, tallies, faults"),
        (lambda: spoil("counts", lambda counts: counts.float()), "`counts` of the state is torch.float32"),
        (lambda: spoil("counts", lambda counts: counts[:1]), r"of shape \(1, 3, 2\), expected int64 of \(2, 3, 2\)"),
        (lambda: spoil("counts", lambda counts: counts + 1), "contradict each other"),
        (lambda: spoil("counts", lambda counts: -counts), "expected an integer 0"),
        (lambda: spoil("tallies", lambda tallies: tallies[:, :3]), "`tallies` of the state"),
        (lambda: spoil("faults", lambda faults: faults - 1), "negative numbers of pixels"),
        (lambda: spoil("configuration", lambda text: text[:-1]), "incomplete or damaged"),
        (lambda: spoil("configuration", lambda text: text.long() + 999), "incomplete or damaged"),
        (lambda: spoil("sequence_index", lambda text: text[1:]), "incomplete or damaged"),
    ],
)
def test_damaged_state_is_refused(state, match):
    metric = make()
    before = metric.to_meter().to_json()
    with pytest.raises(StateError, match=match):
        metric.load_state_dict(state())
    assert metric.to_meter().to_json() == before


@pytest.mark.parametrize(
    ("index", "match"),
    [
        ({"sequences": ["a", "a"], "closed": [], "by_schedule": None}, "names a sequence twice"),
        ({"sequences": ["a", 1], "closed": [], "by_schedule": None}, "not by text"),
        ({"sequences": ["a", "b"], "closed": ["c"], "by_schedule": None}, "closes sequences that it does not hold"),
        ({"sequences": ["a", "b"], "closed": [], "by_schedule": 3}, "does not say how frames were paired"),
        ({"sequences": ["a", "b"], "closed": []}, "by_schedule"),
        ([], "incomplete or damaged"),
    ],
)
def test_damaged_index_is_refused(index, match):
    encode = pytest.importorskip("flame_metric.torch.state").encode
    with pytest.raises(StateError, match=match):
        make().load_state_dict({**make("clip").state_dict(), "sequence_index": encode(index)})


def test_faults_travel_with_the_state():
    metric = FlameMetric(**OPTIONS)
    metric.persistent(True)
    metric._lies_here = lambda maps: True
    metric.update_pair(A + 1, A, sequence="open")
    with pytest.raises(LabelError, match=r"`pred` held labels .* at 2 pixels of sequence"):
        by_file(metric).compute()
    with pytest.raises(LabelError, match=r"`pred` held labels .* at 2 pixels of sequence"):
        make().merge_state(metric)


# ── merging ──


def merged_meters(*metrics):
    total = FlameMeter(**OPTIONS)
    for metric in metrics:
        total.merge(metric.to_meter())
    return total


@pytest.mark.parametrize("as_state", [False, True])
def test_merge_is_that_of_meters(as_state):
    one, other = make("a", "b"), make("c")
    expected = merged_meters(one, other)
    one.merge_state(other.metric_state if as_state else other)
    assert one.to_meter().to_json() == expected.to_json()
    one.update_pair(A, A, sequence="open")  # goes on
    assert one.result().num_pairs == expected.compute().num_pairs + 1
    assert other.to_meter().to_json() == make("c").to_meter().to_json()


def test_merge_into_a_fresh_metric():
    metric = FlameMetric(**OPTIONS)
    metric.merge_state(make("a"))
    assert metric.compute() == make("a").compute()  # no warning that it was never updated


def test_merge_keeps_an_identical_copy_once_and_refuses_another():
    one, other = make("a"), make("a", "b")
    with pytest.warns(FlameWarning, match=r"came twice .* kept once: \['a'\]"):
        one.merge_state(other)
    assert one.result().by_sequence()["a"] == make("a").result().by_sequence()["a"]
    different = FlameMetric(**OPTIONS)
    different.update_sequence([A, A], [A, B], sequence="a")
    before = one.to_meter().to_json()
    with pytest.raises(StateError, match="sequence 'a' was scored on both sides with different counts"):
        one.merge_state(different)
    assert one.to_meter().to_json() == before


@pytest.mark.parametrize("other", [None, 3, torchmetrics.MeanMetric(), FlameMeter(2)], ids=type)
def test_merge_of_something_else_is_refused(other):
    with pytest.raises(StateError, match=r"`incoming_state` is .*, expected a FlameMetric or its state"):
        make().merge_state(other)


# ── R19: dtypes and devices ──


@pytest.mark.parametrize(
    "cast",
    [
        lambda metric: metric.set_dtype(torch.float16),
        lambda metric: metric.half(),
        lambda metric: metric.double(),
        lambda metric: metric.float(),
        lambda metric: metric.bfloat16(),
        lambda metric: metric.type(torch.float16),
        lambda metric: metric.to(torch.float16),
        lambda metric: torch.nn.ModuleList([metric]).half()[0],
        lambda metric: torch.nn.ModuleList([metric]).type(torch.float16)[0],
        lambda metric: torch.nn.ModuleList([metric]).to(torch.bfloat16)[0],
        lambda metric: torchmetrics.MetricCollection([metric]).set_dtype(torch.half)["FlameMetric"],
    ],
)
@pytest.mark.parametrize("cached", [False, True])
def test_r19_counts_stay_integers(cast, cached):
    metric = make("clip", compute_with_cache=cached)
    value, before = metric.compute(), metric.to_meter().to_json()
    metric = cast(metric)
    assert metric.to_meter().to_json() == before
    assert {metric.state_dict()[name].dtype for name in ("counts", "tallies", "faults")} == {torch.int64}
    assert torch.equal(metric.compute(), value)
    assert metric.compute().dtype == torch.float32
    metric.reset()
    metric.update_pair(A, B, sequence="open")
    assert metric.counts.dtype == torch.int64


def test_moving_takes_the_counts_and_leaves_the_index():
    metric = make("clip").to("meta")
    devices = {name: tensor.device.type for name, tensor in metric.metric_state.items()}
    assert devices == {
        **dict.fromkeys(("ungrouped", "counts", "tallies", "faults"), "meta"),
        **dict.fromkeys(("configuration", "sequence_index"), "cpu"),
    }
    metric.reset()
    assert {name: tensor.device.type for name, tensor in metric.metric_state.items()} == devices
    assert metric.device.type == "meta"


def test_counts_made_in_inference_mode_take_more_outside_it():
    metric = FlameMetric(**OPTIONS)
    with torch.inference_mode():
        metric.update_pair(A, B, sequence="open")
    metric.update_pair(A, B, sequence="open")
    with torch.inference_mode():
        metric.update_pair(A, B, sequence="open")
        metric.reset()
        metric.update_pair(A, B, sequence="open")
    metric(A, B, sequence="stepped")
    metric(A, B, sequence="stepped")
    assert metric.result().num_pairs == 2


# ── R14: collections ──


def collection():
    metrics = torchmetrics.MetricCollection(
        {
            "void 255": FlameMetric(3, ignore_index=255),
            "void 0": FlameMetric(3, ignore_index=0),
            "twin": FlameMetric(3, ignore_index=255),
            "k 1": FlameMetric(3, ignore_index=255, frame_offset=1),
            "7 classes": FlameMetric(7, ignore_index=255),
        }
    )
    metrics.persistent(True)
    return metrics


def expected_of(pairs):
    expected = {}
    for name, options in (
        ("void 255", {"num_classes": 3, "ignore_index": 255}),
        ("void 0", {"num_classes": 3, "ignore_index": 0}),
        ("twin", {"num_classes": 3, "ignore_index": 255}),
        ("k 1", {"num_classes": 3, "ignore_index": 255, "frame_offset": 1}),
        ("7 classes", {"num_classes": 7, "ignore_index": 255}),
    ):
        meter = FlameMeter(**options)
        for pair in pairs:
            meter.update(*pair, sequence="clip")
        expected[name] = meter.compute()
    return expected


PAIRS = [
    (torch.tensor([[0, 1, 2, 1]]), torch.tensor([[1, 1, 2, 2]])),  # the two void labels agree so far
    (torch.tensor([[0, 1, 2, 0]]), torch.tensor([[0, 1, 0, 2]])),
]


@pytest.mark.parametrize("collect", ["update", "forward"])
def test_r14_unlike_configurations_never_share_counts(collect):
    metrics = collection()
    for number, pair in enumerate([*PAIRS, *PAIRS], start=1):
        getattr(metrics, collect)(*pair, sequence="clip")
        expected = expected_of([*PAIRS, *PAIRS][:number])
        assert {name: metric.result() for name, metric in metrics.items()} == expected
        computed = {name: value.item() for name, value in metrics.compute().items()}
        wanted = {name: result.miou for name, result in expected.items()}
        assert computed == pytest.approx(wanted, abs=1e-6, nan_ok=True)
    if collect == "update":  # every one counts for itself, as no other sees what waits in it
        assert sorted(map(sorted, metrics.compute_groups.values())) == [[name] for name in sorted(expected)]


def test_r14_update_and_forward_in_turn():
    metrics = collection()
    metrics.update(*PAIRS[0], sequence="clip")
    metrics(*PAIRS[1], sequence="clip")
    metrics.update(*PAIRS[0], sequence="clip")
    assert {name: metric.result() for name, metric in metrics.items()} == expected_of([*PAIRS, PAIRS[0]])
    metrics.reset()
    metrics.update(*PAIRS[1], sequence="clip")
    assert {name: metric.result() for name, metric in metrics.items()} == expected_of([PAIRS[1]])


def test_r14_collection_is_saved_and_loaded():
    metrics = collection()
    metrics.update(*PAIRS[1], sequence="clip")
    fresh = collection()
    fresh.load_state_dict(metrics.state_dict())
    assert {name: metric.result() for name, metric in fresh.items()} == expected_of(PAIRS[1:])
    swapped = torchmetrics.MetricCollection({"void 0": FlameMetric(3, ignore_index=255)})
    saved = {name: value for name, value in metrics.state_dict().items() if name.startswith("void 0")}
    with pytest.raises(StateError, match="ignore_index: 255 / 0"):
        swapped.load_state_dict(saved)


def test_sequence_ids_pass_through_a_collection():
    metrics = torchmetrics.MetricCollection({"flame": FlameMetric(3), "accuracy": peer()})
    metrics.update(*PAIRS[0], sequence="clip")
    assert metrics["flame"].result().sequences == ("clip",)


def peer():
    return torchmetrics.classification.MulticlassAccuracy(3)


# ── many sequences ──


def test_rows_are_seldom_copied_and_the_index_is_written_when_asked_for(monkeypatch):
    written = []
    to_tensor = SequenceIndex.to_tensor
    monkeypatch.setattr(
        SequenceIndex, "to_tensor", lambda index, *waits: written.append(index) or to_tensor(index, *waits)
    )
    metric = FlameMetric(2)
    written.clear()
    places = dict.fromkeys(ROW_STATES, ())
    for number in range(1, 300):
        metric.update_pair(A, B, sequence=f"{number}")
        for name in ROW_STATES:
            assert len(getattr(metric, name)) == number
            places[name] = {*places[name], getattr(metric, name).data_ptr()}
    assert written == []
    assert max(map(len, places.values())) <= 6  # 16, 32, ..., 512 rows
    assert metric.result().counts.tolist() == [class_counts(A, B, num_classes=2).tolist()] * 299
    assert len(written) == 1


def test_a_row_is_written_only_behind_the_last_one_in_use():
    spare, rows = states.SpareRows(), torch.zeros((0, 2), dtype=torch.int64)
    one = spare.append(rows, torch.tensor([1, 1]))
    two = spare.append(one, torch.tensor([2, 2]))
    other = spare.append(one, torch.tensor([3, 3]))
    again = spare.append(two, torch.tensor([4, 4]))
    assert [rows.tolist() for rows in (one, two, other)] == [[[1, 1]], [[1, 1], [2, 2]], [[1, 1], [3, 3]]]
    assert again.tolist() == [[1, 1], [2, 2], [4, 4]]
    assert two.data_ptr() == one.data_ptr() != other.data_ptr()


def share(metric, other):
    for name, state in metric.metric_state.items():
        setattr(other, name, state)
    return other


@pytest.mark.parametrize(
    "twin_of", [copy.copy, lambda metric: share(metric, FlameMetric(**OPTIONS))], ids=["shallow copy", "shared states"]
)
def test_metrics_that_share_rows_write_no_rows_of_each_other(twin_of):
    """Collections let metrics share tensors; rows in common add up for both, and new ones are each metric's own."""
    metric = make("a", "b")
    twin = twin_of(metric)
    metric.update_pair(A, A, sequence="mine")
    twin.update_pair(A, B, sequence="theirs")
    metric.update_pair(A, B, sequence="mine too")
    assert metric.result().sequences == ("a", "b", "mine", "mine too", "open")
    assert twin.result().sequences == ("a", "b", "open", "theirs")
    for one, sequence, pred, target in ((metric, "mine", A, A), (metric, "mine too", A, B), (twin, "theirs", A, B)):
        found = one.result().by_sequence()[sequence]
        assert found.counts.tolist() == [class_counts(pred, target, num_classes=2).tolist()]


@pytest.mark.parametrize("copied", [by_pickle, by_state_dict, by_file, copy.deepcopy, FlameMetric.clone])
def test_copies_and_files_hold_no_spare_rows(copied):
    metric = make(*"abc")
    assert metric.counts.untyped_storage().nbytes() > metric.counts.nbytes  # otherwise this shows nothing
    for state in (*metric.state_dict().values(), *copied(metric).metric_state.values()):
        assert state.untyped_storage().nbytes() == state.nbytes


# ── other wrappers of torchmetrics ──


def test_tracker_and_minmax():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracker speaks of its own experience
        tracker = torchmetrics.wrappers.MetricTracker(FlameMetric(2), maximize=True)
        for pred in (A, B):
            tracker.increment()
            tracker.update(pred, B)
        best, step = tracker.best_metric(return_step=True)
    assert (best, step) == (1.0, 1)
    extremes = torchmetrics.wrappers.MinMaxMetric(FlameMetric(2))
    extremes.update(A, B)
    assert extremes.compute()["max"] == 0.5


def test_running_window_is_the_merge_of_its_steps():
    running = torchmetrics.wrappers.Running(FlameMetric(2), window=2)
    for pred in (A, A, B):
        running.update(pred, B)
    meter = FlameMeter(2)
    for pred in (A, B):
        meter.update_pair(pred, B)
    assert running.compute().item() == pytest.approx(meter.compute().miou)


def test_composition():
    metric = 1 - FlameMetric(2)
    metric.update(A, B)
    assert metric.compute().item() == pytest.approx(0.5)


# ── sync without ranks ──


def gather_two(tensor, group=None):
    """A transport between two ranks that hold the same."""
    return [tensor, tensor.clone()]


def make_synced(**options):
    return make(distributed_available_fn=lambda: True, dist_sync_fn=gather_two, **options)


def test_sync_with_a_transport_of_ones_own():
    metric = make_synced()
    local, both = metric.to_meter().to_json(), merged_meters(make(), make())
    assert metric.result() == both.compute()
    assert metric.to_meter().to_json() == local
    assert metric.compute().item() == pytest.approx(both.compute().miou)
    assert metric.to_meter().to_json() == local
    metric.sync(dist_sync_fn=gather_two)
    assert metric.to_meter().to_json() == both.to_json()
    assert metric.result() == both.compute()  # of what it holds: it stays synced
    for refused in (
        lambda: metric.update_pair(A, A),
        lambda: metric.update(A, A, sequence="x"),
        lambda: metric(A, A, sequence="x"),
        lambda: metric.end("open"),
        lambda: metric.update_missing(A),
        lambda: metric.update_sequence([A], [A], sequence="x"),
        lambda: metric.merge_state(make()),
    ):
        with pytest.raises(StateError, match=r"holds the counts of all ranks, expected unsync\(\)"):
            refused()
    metric.unsync()
    assert metric.to_meter().to_json() == local


def test_nothing_is_synced_where_it_is_switched_off():
    metric = make_synced(sync_on_compute=False)
    assert metric.result() == make().result()
    assert metric.compute() == make().compute()


def test_an_error_after_the_sync_leaves_the_counts_of_this_rank():
    metric = FlameMetric(2, ignore_index=1, distributed_available_fn=lambda: True, dist_sync_fn=gather_two)
    metric.update_pair(torch.tensor([[1]]), torch.tensor([[1]]))
    for ask in (metric.compute, metric.result):
        with pytest.raises(FlameWarning, match="every pixel of every target is void"):  # an error, with -W error
            ask()
        assert metric.to_meter().sequences[""].pairs == 1
        metric.update_pair(torch.tensor([[1]]), torch.tensor([[1]]))
        metric.reset()
        metric.update_pair(torch.tensor([[1]]), torch.tensor([[1]]))
