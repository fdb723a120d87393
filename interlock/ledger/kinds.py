"""Every kind of event that there is, and what it tells."""

KINDS = {
    "decision": "what was decided about a call, for whom, and why",
    "secret_access": "which secret a call was granted, and by which token",
    "outcome": "what became of a call",
    "question": "somebody asked what the policies say, and called nothing",
    "approval": "a call waits for a person",
    "admin": "a person changed something",
    "mode_change": "observe or enforce, for everybody",
    "policy_load": "another set of policies is in force, or did not load",
    "proof_refused": "callers that could not prove who they are",
    "discovery": "what was found running",
    "alert": "a planted key was used, or a tool of an MCP server is not what it was",
    "gap": "for a time nothing could be recorded",
    "checkpoint": "where the chains ended when a checkpoint was signed",
}
