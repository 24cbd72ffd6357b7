"""The incident: two agents, a company's services that misbehave, and a report that gets filed all the same.

No model and no network beyond this machine: the services are an HTTP server on the loopback, scripted to answer
500, to hang, to ask for patience (429) or to talk nonsense, and then to recover. One agent investigates, one
responds; what they do when a service fails is declared in their machine, not in them. Try it:

    python -m examples.incident
"""
