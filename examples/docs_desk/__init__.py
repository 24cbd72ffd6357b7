"""The docs desk: a question and a folder in, an answer with checked citations out.

No model and no network. Three agents, plain functions of their view, work on `ReviewLoop`: `search` ranks
passages of the folder's own text, `write` answers with the lines that cover the question, `review`
opens every cited file and sends the work back until the answer holds. Try it:

    python -m examples.docs_desk "how do I wait for an asyncio task with a timeout?"
"""
