"""K-means over a user's items in the space of item vectors [figure]."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

_SEED = 2026


@contextmanager
def one_thread() -> Iterator[None]:
    """Cluster in one thread: a user's items are few, and sums do not depend on the machine."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def cluster(vectors: np.ndarray, count: int) -> np.ndarray:
    """Return the cluster of each of n vectors, int64 [n], numbered by their first members.

    Parameters
    ----------
    vectors : numpy.ndarray
        float32 [n, m], unit vectors.
    count : int
        Clusters wanted; there are fewer when fewer vectors differ.

    Examples
    --------
    Two clusters of five vectors at angles 0, 90, 5, 85 and 2 degrees::

        [0, 1, 0, 1, 0]
    """
    distinct, inverse = np.unique(vectors, axis=0, return_inverse=True)
    labels = np.arange(len(distinct))
    if count < len(distinct):
        from sklearn.cluster import KMeans

        labels = KMeans(count, n_init=1, random_state=_SEED).fit(distinct).labels_
    of_vectors = labels[inverse.ravel()]
    _, first, cluster_of = np.unique(of_vectors, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))  # rank of each cluster by its first member
    return order[cluster_of.ravel()].astype(np.int64)


def representatives(vectors: np.ndarray, count: int) -> np.ndarray:
    """Return the vector nearest to the centre of each cluster, ascending int64 [at most count].

    Of equally near ones it is the last, which is the latest of a history [ours].
    """
    clusters = cluster(vectors, count)
    chosen = []
    for number in range(clusters.max(initial=-1) + 1):
        members = np.flatnonzero(clusters == number)
        centre = vectors[members].mean(axis=0)
        distance = np.linalg.norm(vectors[members] - centre, axis=1)
        chosen.append(members[len(members) - 1 - distance[::-1].argmin()])
    return np.sort(np.array(chosen, dtype=np.int64))


def growing_count(items: int, items_per_cluster: int, most: int) -> int:
    """Return how many clusters so many items get: one for each `items_per_cluster`, capped."""
    return min(most, max(1, -(-items // items_per_cluster)))
