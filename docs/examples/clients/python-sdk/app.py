"""A program with the Python SDK. It reads LANGFUSE_BASE_URL, the keys and LANGFUSE_TRACING_ENVIRONMENT.

pip install 'langfuse>=4.7'
"""

from langfuse import get_client, observe, propagate_attributes


@observe(as_type="generation")
def answer(question: str) -> str:
    """Takes the place of a call of a model."""
    get_client().update_current_generation(
        model="example", input=question, output="42", usage_details={"input": 7, "output": 1}
    )
    return "42"


@observe()
def handle(question: str, user: str, session: str) -> str:
    """Handle a request. Attributes that are set first are on every observation, so filters and costs can use them."""
    with propagate_attributes(user_id=user, session_id=session, tags=["example"], version="1.0.0"):
        return answer(question)


if __name__ == "__main__":
    print(handle("What is the answer?", user="user-1", session="session-1"))
    get_client().flush()  # otherwise, the end of the process would lose the last traces
