"""The words of the report that a reader may not know."""

from __future__ import annotations

GLOSSARY: tuple[tuple[str, str], ...] = (
    (
        "the study, its model card, its report",
        'Two documents of one study, which print different losses; "the report" in a claim is the '
        "study's, not this page.",
    ),
    (
        "the stated protocol",
        "10 hidden layers of 64 units with torch's default initializer, trained on 200 points of "
        "one period of a sine with noise of standard deviation 0.1, by Adam at learning rate 0.001 "
        "for 500 epochs of the full batch. The study does not state the initializer.",
    ),
    (
        "seed, draw",
        "One set of random initial weights; a network of another seed is another network.",
    ),
    (
        "error signal",
        "The derivative of the loss by a layer's pre-activations z: what arrives there in "
        "back-propagation.",
    ),
    (
        "gradient magnitude, gradient ratio",
        "The mean |d loss / d W| of one layer's weights; that of the output layer over that of "
        "layer 1, which is nearest the input. The study's table calls the ratio L10/L1.",
    ),
    (
        "recovered protocol",
        "The draw of networks and inputs, and the loss, that give the ratios of the study's table; "
        "it is not the training, and not stated in the study.",
    ),
    (
        "Xavier, He",
        "Initializers: xavier_uniform and he_normal unless a claim names another.",
    ),
    (
        "plateau",
        "A training loss of 0.518, that of the best constant: the network has learned the mean.",
    ),
    (
        "q, sigma_w^2, chi",
        "Of mean-field theory: the mean square of a layer's pre-activations; the variance of a "
        "weight times the inputs of its layer; the factor by which the mean square of the error "
        "signal changes from one layer to the one before.",
    ),
    ("decade", "A factor of ten."),
    (
        "other settings",
        "10 initializers times 5 learning rates, 3 weight decays and 3 numbers of epochs, 5 seeds "
        "each: where else a claim holds.",
    ),
)
"""Words and what they mean, in the order in which a reader meets them."""
