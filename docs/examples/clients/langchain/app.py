"""A chain of LangChain. It reads LANGFUSE_BASE_URL, the keys and LANGFUSE_TRACING_ENVIRONMENT.

pip install 'langfuse>=4.7' langchain
"""

from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from langfuse import get_client
from langfuse.langchain import CallbackHandler

model = FakeListChatModel(responses=["42"])  # takes the place of a model
chain = ChatPromptTemplate.from_template("{question}") | model

if __name__ == "__main__":
    metadata = {"langfuse_user_id": "user-1", "langfuse_session_id": "session-1", "langfuse_tags": ["example"]}
    found = chain.invoke(
        {"question": "What is the answer?"}, config={"callbacks": [CallbackHandler()], "metadata": metadata}
    )
    print(found.content)
    get_client().flush()  # otherwise, the end of the process would lose the last traces
