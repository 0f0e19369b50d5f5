// LangChain for Node: `node langchain_js.mjs BASE_URL MODEL`.
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { ChatOpenAI, OpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { assert, baseURL, joined, model, person, question, report, run, tools, weather } from "./steps.mjs";

const options = { model, apiKey: "none", maxRetries: 0, configuration: { baseURL } };

/** The steps of one of the two APIs. */
function of(api, fields) {
  const chat = new ChatOpenAI({ ...options, temperature: 0, ...fields });
  const texts = async function* (stream) {
    for await (const chunk of stream) yield chunk.text;
  };
  return {
    async [`${api}chat`]() {
      const answer = await chat.invoke(question);
      assert.match(answer.text, /Paris/);
      assert.ok(answer.usage_metadata.output_tokens > 0);
    },
    async [`${api}stream`]() {
      assert.match(await joined(texts(await chat.stream(question))), /Paris/);
    },
    async [`${api}tools`]() {
      const bound = chat.bindTools(tools);
      const said = [new HumanMessage(weather)];
      const message = await bound.invoke(said);
      const [call] = message.tool_calls;
      assert.deepEqual([call.name, call.args], ["get_weather", { city: "Paris" }]);
      said.push(message, new ToolMessage({ content: report, tool_call_id: call.id }));
      assert.match((await bound.invoke(said)).text, /21/);
    },
    async [`${api}streamed tools`]() {
      let whole;
      for await (const chunk of await chat.bindTools(tools).stream(weather)) whole = whole ? whole.concat(chunk) : chunk;
      assert.deepEqual(whole.tool_calls[0].args, { city: "Paris" });
    },
    async [`${api}structured output`]() {
      for (const method of ["jsonSchema", "functionCalling"]) {
        const found = await chat.withStructuredOutput(person, { name: "person", method }).invoke("Invent a person.");
        assert.equal(typeof found.age, "number", method);
      }
    },
  };
}

await run({
  ...of("", {}),
  ...of("responses: ", { useResponsesApi: true }),
  async completions() {
    assert.ok(await new OpenAI({ ...options, maxTokens: 10 }).invoke("Once upon a time"));
  },
  async embeddings() {
    const found = await new OpenAIEmbeddings(options).embedDocuments(["the wind", "the trees"]);
    assert.equal(found.length, 2);
  },
});
