"""OpenAI's own client against a running kura: models, embeddings, chat."""

import json
import math
import urllib.request

import openai
import pytest

QUESTION = "How much money do I get each month for working from home?"


@pytest.fixture(scope="module")
def client(server):
    url, key = server
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=300)


def test_models(client):
    ids = [model.id for model in client.models.list()]
    assert ids == ["kura", "qwen2.5-coder-1.5b-instruct", "multilingual-e5-small"]


def test_embeddings(client):
    texts = ["paid leave", "annual vacation", "printer toner"]
    response = client.embeddings.create(model="multilingual-e5-small", input=texts)
    vectors = [item.embedding for item in response.data]
    assert [item.index for item in response.data] == [0, 1, 2]
    assert all(len(vector) == 384 for vector in vectors)
    assert all(math.isclose(math.hypot(*vector), 1, rel_tol=1e-4) for vector in vectors)
    assert response.usage.prompt_tokens > 0

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2])
    # The client asks for base64 by default; plain numbers must be the same vector.
    floats = client.embeddings.create(model="multilingual-e5-small", input=texts[0], encoding_format="float")
    assert cosine(floats.data[0].embedding, vectors[0]) > 0.9999


def test_chat(client):
    completion = client.chat.completions.create(
        model="kura",
        messages=[{"role": "user", "content": QUESTION}],
        extra_body={"collections": ["handbook"]},
    )
    choice = completion.choices[0]
    assert choice.finish_reason in ("stop", "length")
    assert choice.message.content
    citations = [annotation.model_dump()["file_citation"] for annotation in choice.message.annotations]
    assert any(citation["filename"] == "remote-work.en.md" for citation in citations)
    for citation in citations:
        assert citation["quote"]
        assert f"[{citation['marker']}]" in choice.message.content
        assert 0 <= citation["index"] < citation["end_index"] <= len(choice.message.content)
    usage = completion.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_chat_stream(client):
    stream = client.chat.completions.create(
        model="qwen2.5-coder-1.5b-instruct",
        messages=[
            {"role": "system", "content": "Answer briefly."},
            {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
        ],
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"collections": ["handbook"]},
    )
    text, finish_reasons, usage, annotations = "", [], None, []
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            annotations += (choice.delta.model_extra or {}).get("annotations") or []
            if choice.finish_reason:
                finish_reasons.append(choice.finish_reason)
    assert text
    assert len(finish_reasons) == 1
    assert usage is not None and usage.total_tokens > 0
    assert any(annotation["file_citation"]["filename"] == "remote-work.en.md" for annotation in annotations)


def test_errors(client, server):
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "?"}])
    assert unknown.value.code == "unknown_model"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="kura", messages=[])
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{server[0]}/v1", api_key="wrong", max_retries=0).models.list()


def test_openapi_is_served(server):
    with urllib.request.urlopen(f"{server[0]}/api/openapi.json") as response:
        assert json.load(response)["openapi"].startswith("3.1")
