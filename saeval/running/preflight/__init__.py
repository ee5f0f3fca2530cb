"""Do an SAE and a model belong together?"""
