"""Options of a run, the same in every area."""

import dataclasses

from jmeta.settings import setting


@dataclasses.dataclass(frozen=True)
class Place:
    """Where processes meet; all None where JAX finds it, or there is one alone.

    Attributes:
        coordinator: HOST:PORT of the first process, where several meet: start the same command once for each, with this
            flag and the next two. On a TPU pod, under SLURM and under Open MPI none of them is needed.
        num_processes: how many processes; 1 alone keeps a process of a cluster by itself.
        process_id: which of them this is, from 0. The first keeps the run folder and talks; the others are silent.
    """

    coordinator: str | None = setting(None, place=True)
    num_processes: int | None = setting(None, place=True)
    process_id: int | None = setting(None, place=True)


@dataclasses.dataclass(frozen=True)
class Options:
    """How a run is done and kept.

    Attributes:
        run_dir: where the run is kept; otherwise a folder in runs/ that is named after the settings.
        resume: go on with the run in the run folder, which must be there, bit for bit as if it had never stopped; with
            more steps than it had, beyond its end.
        init_from: start from the parameters of another run, the best by validation, with settings and data of its own;
            another learner takes the encoder alone.
        seed: decides the initial parameters and all that is drawn.
        seeds: train so many seeds, from --seed on, side by side in one program; each is what its single run would be,
            in a run folder of its own in the run folder.
        sweep: train with each of several values too, as in --sweep inner_lr=0.1,0.4 outer_lr=1e-3,3e-3; every
            combination is trained, with every seed.
        log_every: steps between rows of metrics.jsonl; brought to divide save_every where that alone is given.
        save_every: steps between checkpoints, each with a validation; a multiple of log_every, to which it is brought
            where that alone is given.
        tensorboard: write the numbers of metrics.jsonl for TensorBoard too, as events in the run folder: tensorboard
            --logdir runs shows all runs beside each other.
        devices: how many share the tasks of each step, of all processes together. Otherwise all GPUs or TPU cores; on a
            CPU one for each core, as far as they divide the tasks, and one for small tasks; in several processes all.
            A run is the same bit for bit with the same number alone, which --resume takes if it is there.
        compile_cache: keep compiled programs for the next start, in $JMETA_CACHE or the user's cache folder.
        meeting: where several processes meet.
        preset: a published setting to start from; a flag beside it wins.
        config: a file of settings to start from, TOML or the config.json of a run; a flag beside it wins.
    """

    run_dir: str | None = setting(None, place=True)
    resume: bool = setting(False, place=True)
    init_from: str | None = None
    seed: int = setting(0, least=0, most=2**32 - 1)
    seeds: int | None = setting(None, least=1, most=10_000)
    sweep: tuple[str, ...] = ()
    log_every: int = setting(50, least=1)
    save_every: int = setting(500, least=1)
    tensorboard: bool = setting(False, place=True)
    devices: int | None = setting(None, least=1, place=True)
    compile_cache: bool = setting(True, place=True)
    meeting: Place = Place()
    preset: str | None = setting(None, place=True)
    config: str | None = setting(None, place=True)


OWN = ("compile_cache", "coordinator", "num_processes", "process_id")
"""What each process of a run may have its own of."""
