"""``pytest --actbench-max-slowdown FACTOR``: a benchmark that became slower fails as a test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from actbench.pytest_plugin import value_of
from actbench.pytest_plugin.slowdowns import (
    CONTROLS,
    Control,
    Slowdown,
    least_noise,
    numbers,
    slowdown,
    slowdown_in_seconds,
)

_BESIDE = 40
"""Timings of each control before a benchmark, and as many after it."""
_MOST_RERUNS = 4
_LOUD = 0.25
"""A noise of this share of the slowdown to be seen is too much to see it."""
_FEWEST_ROUNDS = 2


@dataclass(frozen=True)
class Verdict:
    """What the gate found out about a benchmark."""

    found: Slowdown | None = None
    why_not: str = ""

    def complaint(self, max_slowdown: float | None) -> str | None:
        """Say why the benchmark fails, if it does."""
        if max_slowdown is None or self.found is None or not self.found.fails:
            return None
        against = "in seconds, as the stored run has no controls"
        if self.found.control:
            against = f"relative to the control {self.found.control!r}"
        return (
            f"{self.found.factor:.2f} times slower than the stored run, {against}; at most "
            f"{self.found.limit:.2f} is allowed ({max_slowdown:g}, or twice the noise of "
            "both runs)"
        )


class Gate:
    """A plugin that times controls beside benchmarks, and judges these if there is a factor."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.max_slowdown: float | None = value_of(config, "max-slowdown")
        self.differences: list[str] = []
        self._verdicts: dict[str, Verdict] = {}
        self._suspects: set[str] = set()  # slower in seconds, at least once
        if self.max_slowdown is not None and not config.option.benchmark_compare:
            config.option.benchmark_compare = True  # before pytest-benchmark, which is `trylast`

    @property
    def _session(self) -> Any:
        return getattr(self._config, "_benchmarksession", None)

    @property
    def stored(self) -> dict[str, Mapping[str, Any]]:
        """What the compared run has, by full name, as pytest-benchmark writes it."""
        runs = (self._session.compared_mapping or {}).values()
        return {name: bench for run in runs for name, bench in run.items()}

    def forget(self, bench: object) -> None:
        """Drop a result that another timing replaces."""
        self._session.benchmarks.remove(bench)

    @pytest.fixture
    def benchmark_controls(self) -> Mapping[str, Control]:
        """What is timed beside the benchmark; a project may have controls of its own.

        Those are timed in each round where the benchmark is ``pedantic`` with a ``setup``.
        """
        return CONTROLS

    @pytest.fixture
    def benchmark(
        self, benchmark: BenchmarkFixture, benchmark_controls: Mapping[str, Control]
    ) -> BenchmarkFixture:
        """pytest-benchmark's fixture, which times controls as well."""
        if benchmark.enabled:
            # pytest-benchmark wants the very object that it made.
            benchmark.__class__ = _Gated
            vars(benchmark).update(gate=self, controls=benchmark_controls)
        return benchmark

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Fail a slow benchmark once its test is through, after whatever that asserts."""
        yield
        complaint = self._verdicts.get(item.nodeid, Verdict()).complaint(self.max_slowdown)
        if complaint:
            pytest.fail(f"{complaint}; so it was when it was timed again", pytrace=False)

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_benchmark_compare_machine_info(
        self, machine_info: Mapping[str, Any], compared_benchmark: dict[str, Any]
    ) -> None:
        """Note what differs, in place of pytest-benchmark's warning."""
        then, now = (
            _scalars(i) for i in (compared_benchmark.get("machine_info", {}), machine_info)
        )
        self.differences = [
            f"{name} {then.get(name, 'unknown')} there, {value} here"
            for name, value in now.items()
            if then.get(name) != value
        ]
        # The plugin's own check of the same hook would print two whole dictionaries, and stop with
        # an internal error where the current folder is not above the storage. It now sees equals.
        compared_benchmark["machine_info"] = dict(machine_info)

    def judge(self, fullname: str, now: Mapping[str, Any]) -> Verdict:
        """Compare a benchmark with its stored self, and remember the outcome."""
        then = self.stored.get(fullname)
        if then is None:
            return Verdict()
        verdict = self._verdicts[fullname] = self._verdict(now, then)
        if (
            verdict.found
            and now["stats"]["min"] > (self.max_slowdown or 1.0) * then["stats"]["min"]
        ):
            self._suspects.add(fullname)
        return verdict

    def _verdict(self, now: Mapping[str, Any], then: Mapping[str, Any]) -> Verdict:
        factor = self.max_slowdown or 1.0
        new, old = now["stats"], then["stats"]
        if min(new["rounds"], old["rounds"]) < _FEWEST_ROUNDS:
            return Verdict(why_not="one round, which tells nothing of the noise")
        if not min(new["min"], old["min"]) > 0:
            return Verdict(why_not="no seconds, as its timer is too coarse")
        info = now["extra_info"]
        found = slowdown(info, then.get("extra_info", {}), factor)
        if found is None and not self.differences:
            found = slowdown_in_seconds(new["min"], old["min"], least_noise(info), factor)
        why_not = "" if found else "no control is in both runs, and the machines differ"
        return Verdict(found, why_not)

    def _nothing_judged(self) -> bool:
        asked = self.max_slowdown is not None or bool(self._session.compare)
        strict = asked and value_of(self._config, "strict")
        main = not hasattr(self._config, "workerinput")
        return main and strict and not any(v.found for v in self._verdicts.values())

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a strict gate that judged nothing."""
        if self._nothing_judged() and session.exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what was compared with what, and what came out."""
        if self.max_slowdown is None and not self._session.compare:
            return
        for line in self._remarks():
            terminalreporter.write_line(f"benchmarks: {line}")
        if self._nothing_judged():
            terminalreporter.write_line(
                "benchmarks: FAILED, --actbench-strict was given and nothing was compared", red=True
            )

    def _remarks(self) -> list[str]:
        session = self._session
        lines = []
        if session.disabled:
            why = (
                "tests run in parallel (xdist)"
                if session.xdist_warning
                else "of --benchmark-disable"
            )
            lines.append(f"not timed, because {why}")
        if not session.compared_mapping:
            asked = "" if session.compare is True else f" that matches {session.compare!r}"
            return [
                *lines,
                f"nothing was compared: no run{asked} is stored in {session.storage}; store one "
                "with --benchmark-autosave",
            ]
        files = ", ".join(str(path) for path in session.compared_mapping)
        lines.append(f"compared with {files}: {self._counts()}")
        for name, verdict in self._verdicts.items():
            if verdict.why_not:
                lines.append(f"not compared, {name}: {verdict.why_not}")
        if any(v.found and v.found.control is None for v in self._verdicts.values()):
            lines.append(
                "the stored run has no controls, so seconds were compared; store one with "
                "--benchmark-autosave --actbench-max-slowdown FACTOR"
            )
        if self.differences:
            lines.append(
                "the stored run is of another machine or installation, so only relative times "
                f"compare: {'; '.join(self.differences)}"
            )
        return lines

    def _counts(self) -> str:
        stored = self.stored.keys()
        ran = {bench.fullname for bench in self._session.benchmarks if bench}
        judged = [verdict for verdict in self._verdicts.values() if verdict.found]
        words = f"{len(judged)} compared, {len(stored - ran)} missing, {len(ran - stored)} new"
        if self.max_slowdown is None:
            return words
        slow = {name for name, v in self._verdicts.items() if v.complaint(self.max_slowdown)}
        excused = len(self._suspects - slow)
        return f"{words}, {excused} excused, {len(slow)} slower than {self.max_slowdown:g} times"


def _scalars(machine_info: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what does not change from run to run; the processor's clock rate does."""
    flat = {**machine_info, **_brand(machine_info.get("cpu"))}
    return {name: v for name, v in flat.items() if isinstance(v, str | int | float)}


def _brand(cpu: object) -> dict[str, str]:
    return {"cpu": str(cpu.get("brand_raw"))} if isinstance(cpu, dict) else {}


class _Gated(BenchmarkFixture):
    """A benchmark beside its controls, timed again if it seems too slow."""

    gate: Gate
    controls: Mapping[str, Control]
    stats: Any  # none until it was used
    seconds: list[float]
    times: dict[str, list[float]]

    def __call__(self, function_to_benchmark: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        run = partial(super().__call__, function_to_benchmark, *args, **kwargs)
        return self._judged(partial(self._beside, run), self._unsure, _MOST_RERUNS)

    def pedantic(
        self, target: Callable[..., Any], *args: Any, setup: Any = None, **kwargs: Any
    ) -> Any:
        run = partial(super().pedantic, target, *args, **kwargs)
        if setup is None or self.controls is CONTROLS:
            run = partial(run, setup=setup) if setup else run
            return self._judged(partial(self._beside, run), self._unsure, _MOST_RERUNS)
        within = partial(self._within, run, setup, kwargs.get("warmup_rounds", 0))
        return self._judged(within, lambda verdict: verdict.complaint(self.gate.max_slowdown), 1)

    def _time_controls(self) -> None:
        tracer = sys.gettrace()  # such as a coverage tool's, which slows Python's loop only
        sys.settrace(None)
        for name, control in self.controls.items():
            self.times[name].append(control(self._timer))
        sys.settrace(tracer)

    def _forget_times(self) -> None:
        self.seconds, self.times = [], {name: [] for name in self.controls}

    def _beside(self, run: Callable[[], Any]) -> Any:
        """Time the controls before and after; the fastest of all reruns counts."""
        for _ in range(_BESIDE):
            self._time_controls()
        result = run()
        for _ in range(_BESIDE):
            self._time_controls()
        self.seconds += self.stats.stats.data
        if len(self.seconds) >= _FEWEST_ROUNDS:
            self.extra_info.update(numbers(self.seconds, self.times, paired=False))
        return result

    def _within(self, run: Callable[..., Any], setup: Callable[[], Any], skipped: int) -> Any:
        """Time a project's own controls in each round, before what is built afresh anyway."""
        self._forget_times()

        def controls_then_setup() -> Any:
            self._time_controls()
            return setup()

        result = run(setup=controls_then_setup)
        self.seconds = self.stats.stats.data
        end = skipped + len(self.seconds)
        times = {name: control[skipped:end] for name, control in self.times.items()}
        self.extra_info.update(numbers(self.seconds, times, paired=True))
        return result

    def _unsure(self, verdict: Verdict) -> bool:
        """Whether it seems slow, or too noisy to tell; one that ran once may not be repeatable."""
        limit = self.gate.max_slowdown
        if limit is None or len(self.seconds) < _FEWEST_ROUNDS:
            return False
        slow = verdict.found is not None and verdict.found.factor > limit
        return slow or least_noise(self.extra_info) > _LOUD * (limit - 1)

    def _judged(
        self, run: Callable[[], Any], doubted: Callable[[Verdict], object], reruns: int
    ) -> Any:
        self._forget_times()
        result = run()
        verdict = self._verdict()
        while reruns and doubted(verdict):
            reruns -= 1
            self.gate.forget(self.stats)
            self._mode = None  # it lets itself be used once
            result = run()
            self.extra_info["confirming_rerun"] = True
            verdict = self._verdict()
        # What fails is not stored as the next run's standard.
        self.has_error = verdict.complaint(self.gate.max_slowdown) is not None
        return result

    def _verdict(self) -> Verdict:
        now = self.stats.as_dict(include_data=False)
        now["stats"]["min"] = min(self.seconds)
        return self.gate.judge(self.fullname, now)
