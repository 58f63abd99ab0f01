"""What is read off a dataset of tosses."""


def share_of_heads(dataset, coin: str):
    """Share of tosses that show heads, per seed."""
    return dataset["heads"].sel(coin=coin)


METRICS = (share_of_heads,)
