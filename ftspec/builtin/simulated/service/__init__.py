"""The simulated tuner's own process: a small HTTP service on loopback that outlives whoever started it.

It uses the standard library only and knows nothing of ftspec: `server.py` starts it by itself, hence the relative
imports. It keeps all it knows under HOME, so that one that was killed goes on where it was. Jobs need nobody to run
them: how far one is follows from the clock, as it would at a service far away. One server per HOME, by a lock; it
leaves after IDLE seconds of silence.

    POST /files?purpose=P       the body's bytes → a file
    GET  /files?sha256=H        files with that content
    POST /jobs                  a new job (with submission "idempotent": one per key)
    GET  /jobs[?key=K]          every job ever made, oldest first
    GET  /jobs/ID[?after=N]     status, and at most PAGE events after the Nth
    POST /jobs/ID/cancel        and stop (keeps the model), pause, resume
    POST /deployments           a job's model is put up (one per key)
    GET  /deployments[?key=K]   those that stand
    GET  /deployments/ID        one of them
    POST /deployments/ID/delete
    GET  /objects               files, models and deployments
    POST /files/ID/delete, /jobs/ID/delete_model
    POST /answers               questions to the base model or to a job's model
    GET  /calls                 how often each call was made, faults included

A request may order faults in its X-Faults header, as `call:kind:times` separated by commas; each happens that often.
"""
