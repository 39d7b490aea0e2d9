"""Everyday instructions in our own words: kinds of requests, each about every subject.

The first 120 of the shuffled list are for measuring; training takes from those behind.
"""

from random import Random

_OF_HOBBIES = (
    "Give me three tips for {}.",
    "How do I get better at {}?",
    "What should a beginner know about {}?",
    "Why do people enjoy {}?",
    "Describe {} to someone who has never heard of it.",
    "What do I need for {}?",
    "Write a short note that invites a friend to try {}.",
    "What are common mistakes in {}?",
    "Is {} a good hobby for children?",
    "How much time does {} take each week?",
)
_HOBBIES = (
    *("gardening", "baking bread", "learning to swim", "playing chess", "keeping bees"),
    *("running long distances", "painting with watercolours", "speaking in public"),
    *("saving money", "learning the guitar", "cooking for a family", "hiking in the mountains"),
    *("writing letters", "sleeping better", "studying for an exam", "photographing birds"),
    *("growing tomatoes", "repairing a bicycle", "knitting scarves", "training a puppy"),
    *("making new friends", "moving to a new city", "reading more books", "learning a language"),
    *("cycling to work", "growing herbs indoors", "folding paper animals", "singing in a choir"),
    *("fixing old furniture", "camping with children", "brewing tea", "drawing portraits"),
    *("watching the stars", "riding a horse", "juggling", "making cheese", "collecting stamps"),
    *("playing table tennis", "planning a wedding", "keeping a diary"),
)
_OF_THINGS = (
    "Explain what {} is.",
    "How does {} work?",
    "Why does {} matter?",
    "What would happen without {}?",
    "Give an example of {} from daily life.",
    "What is the most surprising fact about {}?",
    "Explain {} to a ten-year-old.",
    "What is {} good for?",
)
_THINGS = (
    *("photosynthesis", "gravity", "a rainbow", "inflation", "the water cycle", "a vaccine"),
    *("an earthquake", "electricity", "a compass", "the tide", "memory", "a democracy", "friction"),
    *("a battery", "evolution", "the ozone layer", "a glacier", "fermentation", "a microscope"),
    *("the heartbeat", "sound", "a stock market", "a bridge", "recycling", "a volcano"),
    *("insurance", "a search engine", "a magnet", "yeast", "a satellite", "the alphabet", "a tax"),
    *("a forest fire", "a lighthouse", "bird migration", "static electricity", "a solar eclipse"),
    *("composting", "a fuse", "a thermometer"),
)
_HOW = " Answer in one or two sentences."
_MEASURED = 120


def instructions() -> tuple[list[str], list[str]]:
    """Return the instructions to train on, and those to measure with: 600 and 120."""
    every = [kind.format(hobby) for kind in _OF_HOBBIES for hobby in _HOBBIES]
    every += [kind.format(thing) for kind in _OF_THINGS for thing in _THINGS]
    every = [instruction + _HOW for instruction in every]
    Random(0).shuffle(every)
    return every[_MEASURED:], every[:_MEASURED]
