"""The guards that `fsm backtest` asks where none is named, each with the reason for its limit.

They were chosen before any guard had seen the runs that the README tells of. Known were, as the format had to be
read, how long those are, which messages the labels name, and how answers of tools begin. Nothing here is fitted; a
limit that turns out badly stays.

- LoopCap(10) on each transition: ten turns is where the OpenAI Agents SDK and AutoGen 0.2 stop by default.
- Repeat(3): once is chance, twice may be a retry; three times the very same words to the same one is a loop.
- NoProgress(3): three whole cycles of a transition in which no message had ten words new to the run. A stall of
  three rounds is also where Magentic-One's ledger plans anew.
- LoopCap(50) of the run: twice LangGraph's long-standing 25: a manager's thought and its order are two messages.
- TokenBudget(128_000): what a context window of most models of that time held; more cannot be read again whole.
- PayloadSize(16_384): some four thousand tokens. What is longer wants to be a file that a handoff names.
- Strikes("tool", 3): three answers of tools in a row that look like errors: an exit code, a traceback.
"""

ON_TRANSITIONS = ("LoopCap(10)", "Repeat(3)", "NoProgress(3, of=news)")
EVERYWHERE = ("LoopCap(50)", "TokenBudget(128_000)", "PayloadSize(16_384)", 'Strikes("tool", 3)')
