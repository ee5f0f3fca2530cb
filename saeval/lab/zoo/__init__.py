"""The lab's SAEs: who they are, what they are trained on, how they are built and listed."""
