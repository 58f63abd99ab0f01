"""Write runs.csv: test accuracy on scikit-learn's digits of two classifiers, twenty splits each."""

import csv

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

images, digits = load_digits(return_X_y=True)
with open("runs.csv", "w", newline="") as stream:
    table = csv.writer(stream)
    table.writerow(["method", "seed", "test_acc"])
    for seed in range(20):
        seen, unseen, seen_digits, unseen_digits = train_test_split(
            images, digits, random_state=seed
        )
        for name, classifier in (
            ("neighbors", KNeighborsClassifier()),
            ("linear", SGDClassifier(random_state=seed)),
        ):
            accuracy = classifier.fit(seen, seen_digits).score(unseen, unseen_digits)
            table.writerow([name, seed, round(accuracy, 4)])
