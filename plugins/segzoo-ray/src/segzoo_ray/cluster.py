"""A Ray cluster whose actors compute segzoo's tasks, driven by Ray Data.

Ray Data starts an actor for each worker, gives it one task at a time, holds tasks back while answers wait to
be taken, and begins an actor that died anew, with its task. A task is a block of one row, so that a dead
actor loses one task and no more.

Moritz et al., 2018, arXiv:1712.05889; Luan et al., 2025, arXiv:2501.12407.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import threading
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from segzoo.errors import FailureError, MissingExtraError, OptionError
from segzoo_ray.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

_log = logging.getLogger(__name__)
#: Seconds in which an address must answer.
_PATIENCE = 10.0
#: Tasks that may end their workers before the run is given up: so many, and a share of all.
_MOST_LOST, _SHARE_LOST = 16, 0.01


class RayCluster:
    """Workers on Ray; see `segzoo.interfaces.Cluster`.

    Args:
        address: nothing for a Ray of its own on this machine, or for the one that this process uses already
            or ``RAY_ADDRESS`` names; ``auto`` for the cluster that this machine belongs to; ``HOST:PORT`` of
            its head.
        workers: number of actors; by default as many as the cluster has room for. Set it if the cluster grows
            by itself.
        cpus: CPUs per worker.
        gpus: GPUs per worker, such as 0.5 for two workers per GPU; by default 1 if the cluster has any.
        retries: how often a task whose worker died is computed anew, before it is taken apart.

    Raises:
        OptionError: an option is out of range, or the address has another form.
        MissingExtraError: Ray is not installed.
    """

    def __init__(
        self,
        address: str = "",
        *,
        workers: int | None = None,
        cpus: float = 1,
        gpus: float | None = None,
        retries: int = 2,
    ) -> None:
        _check("workers", 1 if workers is None else workers, 1, 100_000, whole=True)
        _check("cpus", cpus, 0, 10_000)
        _check("gpus", 0 if gpus is None else gpus, 0, 1_000)
        _check("retries", retries, 0, 100, whole=True)
        if gpus is not None and gpus > 1 and gpus != int(gpus):
            raise OptionError(f"gpus must be a part of one GPU, such as 0.5, or a whole number, got {gpus}")
        self._place = _place(address)
        self._address, self._wanted, self._cpus, self._gpus = address, workers, float(cpus), gpus
        self._retries, self.workers, self.description, self._started = retries, workers or 1, "ray", False
        # Ray is not to report to its makers how it is used.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray.data  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                f"clusters need Ray, which cannot be imported ({error}): `pip install segzoo-ray`, or "
                "`pip install 'ray[data]>=2.50,<2.64'`, on every machine in one version"
            ) from error

    def __enter__(self) -> Self:
        """Start Ray or connect to it.

        Raises:
            FailureError: nothing answers, the cluster has another version, or no room for a worker.
        """
        import ray

        if not ray.is_initialized():
            if self._place is not None:
                _check_answers(*self._place)
            with _signals_kept():
                _connect(self._address)
            self._started = True
        try:
            self._find_room()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers, and Ray too where it was started here."""
        import ray

        if self._started:
            with suppress(KeyboardInterrupt):
                ray.shutdown()
            self._started = False

    def run(
        self, begin: Callable[[], Callable[[Any], Any]], tasks: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each task and its answer; see `segzoo.interfaces.Cluster.run`."""
        import ray
        import ray.data
        from ray.exceptions import RayError

        if not tasks:
            return
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = int(_MOST_LOST + _SHARE_LOST * len(tasks))
        rows = [
            {"number": number, "task": pickle.dumps(task, protocol=pickle.HIGHEST_PROTOCOL)}
            for number, task in enumerate(tasks)
        ]
        with _quiet(), warnings.catch_warnings():
            # The number of retries has no other place yet; pyproject.toml bounds Ray's version.
            warnings.filterwarnings("ignore", message="`ray_remote_args", category=DeprecationWarning)
            try:
                model = ray.put(pickle.dumps(begin, protocol=pickle.HIGHEST_PROTOCOL))
                answers = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                    Worker,
                    # In a list, so that Ray Data hands over the reference and not what it stands for.
                    fn_constructor_args=([model],),
                    batch_size=1,
                    # One at a time: a task that ends its worker takes no other along.
                    compute=ray.data.ActorPoolStrategy(
                        size=min(self.workers, len(rows)), max_tasks_in_flight_per_actor=1
                    ),
                    num_cpus=self._cpus,
                    num_gpus=self._gpus or None,
                    max_task_retries=self._retries,
                )
                for row in answers.iter_rows():
                    answer, error = pickle.loads(row["answer"])
                    if error is not None:
                        raise error
                    yield int(row["number"]), answer
            except (RayError, ConnectionError) as error:
                raise FailureError(f"{self.description}: {_cause(error)}") from error

    def _find_room(self) -> None:
        """Count the workers that the cluster has room for."""
        import ray

        machines = [one["Resources"] for one in ray.nodes() if one["Alive"]]
        most = {name: max((one.get(name, 0) for one in machines), default=0) for name in ("CPU", "GPU")}
        if self._gpus is None:
            self._gpus = 1.0 if most["GPU"] else 0.0
        room = sum(_room(one, self._cpus, self._gpus) for one in machines)
        if not room:
            raise FailureError(
                f"no machine of the cluster has room for a worker of {self._cpus:g} CPUs and "
                f"{self._gpus:g} GPUs: the largest have {most['CPU']:g} CPUs and {most['GPU']:g} GPUs; say "
                "less, as in --on ray,cpus=1,gpus=0"
            )
        self.workers = self._wanted or room
        gpus = f" and {self._gpus:g} GPU" if self._gpus else ""
        self.description = (
            f"ray {ray.__version__}, machines: {len(machines)}, workers: {self.workers} with {self._cpus:g} "
            f"CPU{gpus} each"
        )


def _check(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    """Raise `OptionError` unless an option is a number in its range."""
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        what = "an integer" if whole else "a number"
        raise OptionError(f"{name} must be {what} from {low:g} to {high:,}, got {value!r}")


def _place(address: str) -> tuple[str, int] | None:
    """Return host and port of an address; nothing where it has none.

    Raises:
        OptionError: it is no address.
    """
    if address in ("", "auto"):
        return None
    if address.startswith("//"):
        raise OptionError(
            f"ray:{address} is a Ray Client server, through which Ray Data does not run; start the command "
            "on a machine of the cluster, also by `ray job submit`, and say --on ray:auto"
        )
    host, colon, port = address.rpartition(":")
    if not colon or not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise OptionError(
            f"ray:{address} is no address: say ray:auto, or ray:HOST:PORT with the head's address, such as "
            "ray:10.0.0.5:6379"
        )
    return host.strip("[]"), int(port)


def _check_answers(host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=_PATIENCE).close()
    except OSError as error:
        raise FailureError(
            f"nothing answers at {host}:{port}: {error}. On the head, `ray status` says whether the cluster "
            "runs, and `ray start --head --port=6379` starts one"
        ) from error


def _connect(address: str) -> None:
    import ray

    given: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address:
        given["address"] = address
    elif "RAY_ADDRESS" not in os.environ:
        given |= {"address": "local", "include_dashboard": False}
    try:
        ray.init(**given)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise FailureError(_told(address, error)) from error


def _told(address: str, error: BaseException) -> str:
    """Return why there is no connection, and what to do."""
    where = f"ray:{address}" if address else "ray"
    chain: BaseException | None = error
    while chain is not None:
        text = " ".join(str(chain).split())
        if "mismatch" in text.lower() or "versions differ" in text.lower() or "incompatible" in text.lower():
            return (
                f"{where}: the cluster runs other versions than this program: {text}. Install the same Ray "
                "and Python on every machine"
            )
        chain = chain.__cause__ or chain.__context__
    if address == "auto":
        return (
            "ray:auto: no cluster runs on this machine: `ray start --head` starts one, ray:HOST:PORT names "
            "one, and ray alone starts a Ray of its own"
        )
    return (
        f"{where}: {' '.join(str(error).split())}. This machine must belong to the cluster; where that asks "
        "for a token, RAY_AUTH_MODE=token gives it"
    )


def _room(machine: dict[str, float], cpus: float, gpus: float) -> int:
    """Return how many workers a machine has room for."""
    fits = [int(machine.get(name, 0) / need + 1e-9) for name, need in (("CPU", cpus), ("GPU", gpus)) if need]
    return min(fits, default=int(machine.get("CPU", 1)))


def _cause(error: BaseException) -> str:
    """Return the line of Ray's text that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("ModuleNotFoundError", "ImportError"))]
    if told:
        return f"{told[-1]}: install segzoo-ray and segzoo on every machine, in the versions of this one"
    if "max_errored_blocks" in str(error) or "errored blocks" in str(error):
        return "workers end at too many tasks: they may lack memory; say fewer workers, or --memory 2GB"
    return lines[0] if lines else type(error).__name__


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep the handler of SIGTERM, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide Ray's messages; only the death of a worker is logged, in one line."""
    from ray._private import worker as driver

    loggers = [logging.getLogger(name) for name in ("ray", "ray.data")]
    levels = [logger.level for logger in loggers]
    shown = getattr(driver, "print_to_stdstream", None)

    def tell(data: dict[str, Any], *_: Any, **__: Any) -> None:
        if any("worker died" in line for line in data.get("lines", ())):
            _log.warning("a worker of the cluster died; its task is computed again")

    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    if shown is not None:  # it prints what the machines report, and has no switch
        driver.print_to_stdstream = tell
    try:
        yield
    finally:
        if shown is not None:
            driver.print_to_stdstream = shown
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
