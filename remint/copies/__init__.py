"""The copy check: is a minted image a training image in disguise?"""
