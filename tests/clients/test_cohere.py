"""Cohere's own client against a running kura: rerank, in both versions of the protocol."""

import cohere
import pytest

QUERY = "How many days of paid leave do I get?"
DOCUMENTS = [
    "The database server is backed up every night at 02:30.",
    "Employees receive twenty days of paid leave per year.",
    "The meeting rooms on the third floor can be booked for two hours.",
]


@pytest.fixture(scope="module", params=["v1", "v2"])
def client(server, request):
    url, key = server
    kind = cohere.Client if request.param == "v1" else cohere.ClientV2
    return kind(api_key=key, base_url=url, timeout=300)


def test_rerank(client):
    response = client.rerank(model="kura", query=QUERY, documents=DOCUMENTS)
    assert sorted(result.index for result in response.results) == [0, 1, 2]
    assert response.results[0].index == 1
    scores = [result.relevance_score for result in response.results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert response.id


def test_top_n(client):
    response = client.rerank(model="kura", query="有給休暇", documents=["夜間のバックアップ", "年次有給休暇の日数"], top_n=1)
    assert [result.index for result in response.results] == [1]


def test_errors(client, server):
    with pytest.raises(cohere.NotFoundError) as unknown:
        client.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS)
    assert unknown.value.body["error"]["code"] == "unknown_model"
    with pytest.raises(cohere.BadRequestError):
        client.rerank(model="kura", query=QUERY, documents=[])
    with pytest.raises(cohere.UnauthorizedError):
        type(client)(api_key="wrong", base_url=server[0]).rerank(model="kura", query=QUERY, documents=DOCUMENTS)
