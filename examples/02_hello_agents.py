"""Two agents and a bound: one guesses a number, one answers, and after six wrong guesses the game is lost."""

from pydantic import BaseModel

from fsm import Machine, State, View, read_journal, replay_run, run
from guards import LoopCap

SECRET = 42


class Range(BaseModel):
    low: int
    high: int


class Guess(BaseModel):
    low: int
    high: int
    number: int


class Found(BaseModel):
    number: int


async def guess(view: View[Range]) -> Guess:
    low, high = view.payload.low, view.payload.high
    return Guess(low=low, high=high, number=(low + high) // 2)


def answer(view: View[Guess]) -> Found | Range:
    guessed = view.payload
    if guessed.number == SECRET:
        return Found(number=SECRET)
    if guessed.number < SECRET:
        return Range(low=guessed.number + 1, high=guessed.high)
    return Range(low=guessed.low, high=guessed.number - 1)


class Game(Machine):
    """One guesses, one answers, at most seven times.

    What `fsm check` says of it:

        ends       always, or halts  by its caps
        hops       14                exact
        tokens     unknown           guessing and answering declare no tokens_max
        money      unknown           guessing and answering declare no usd_micros_max
        approvals  0                 exact
        time       4 h 40 min        exact
    """

    guessing = State(initial=Range, agent=guess)
    answering = State(agent=answer)
    won = State(final="completed")
    lost = State(final="failed")

    ask = guessing.to(answering, on=Guess)
    right = answering.to(won, on=Found)
    wrong = answering.to(guessing, on=Range, guards=[LoopCap(6)], otherwise=lost)


if __name__ == "__main__":
    game = run(Game, Range(low=1, high=100), db="game.db")
    journal = read_journal("game.db")
    for record in journal.records(game.key):
        print(f"{record.seq:2} {record.hop:6} {record.state:9} {(record.body or b'').decode()}")
    print(replay_run(journal, game.run_id, Game))
    journal.close()
