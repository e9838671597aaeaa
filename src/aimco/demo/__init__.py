"""The question on embedded data: which algorithm makes each of five devices learn handwritten digits, one of them fitted to its pulses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aimco.advice import Question
from aimco.api.advise import Advice, answer_of, device_of
from aimco.studies.workers import evaluator

PULSES = Path(__file__).with_name("pulses.csv")  # the measured example, as examples/bring-your-device has it
DEVICES = ("rram-array-om", "ecram-metal-oxide", "capacitor-cmos", "pcm")
RULES = ("sgd", "mixed-precision", "tiki-taka-v2", "agad", "residual")
MINUTES = 0.36  # for each device, where a machine is slow


def answers(*, workers: int = 2, on_step: Callable[[str, float], None] | None = None) -> list[Advice]:
    """Ask of the example's measured pulses and of four devices of the catalogue, for five rules and a first answer. Nothing is kept.

    Args:
        workers: Local processes.
        on_step: Called with (what is running, fraction done).

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    sources = (str(PULSES), *DEVICES)
    results = []
    with evaluator(workers) as evaluate:
        for k, source in enumerate(sources):
            device = device_of(source)

            def tell(label: str, done: float, k: int = k, name: str = device.name) -> None:
                if on_step is not None:
                    on_step(f"{name}: {label}", (k + done) / len(sources))

            command = f"aimco advise {source} --workers {workers}"
            question = Question(device.as_dict(), rules=RULES, minutes=MINUTES, workers=workers, quick=True, around=False, command=command)
            answer = answer_of(question, tell, evaluate)
            if answer.stopped:
                raise KeyboardInterrupt
            answer.notes.append(f"a first answer for five rules: {command} tries all of them, and says what would help")
            results.append(answer)
    return results
