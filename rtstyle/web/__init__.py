"""A page for the browser: live camera, films and pictures, served to this machine.

Everything that comes from a client is looked at before it is acted on: ``guards`` decides who may
ask, ``schema`` what may be said, ``spool`` how much may be stored, and what is uploaded is decoded
in a process of its own (``child``). Needs the extra ``web``; the door is ``server``. Importing this
package loads nothing, so that the child is bounded before anything heavy is there.
"""
