// What the scripts of this folder share; the lines they print are those of ../conversation.py.
import assert from "node:assert/strict";

export const [baseURL, model] = process.argv.slice(2);
export const question = "What is the capital of France?";
export const weather = "What is the weather in Paris?";
export const report = "21 degrees and sunny";
export const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
export const person = {
  type: "object",
  properties: { name: { type: "string", maxLength: 20 }, age: { type: "integer", minimum: 0, maximum: 150 } },
  required: ["name", "age"],
  additionalProperties: false,
};
export const tools = [
  {
    type: "function",
    function: { name: "get_weather", description: "Get the weather of a city.", parameters: city },
  },
];

/** Join the pieces of a stream of texts. */
export async function joined(texts) {
  let whole = "";
  for await (const text of texts) whole += text;
  return whole;
}

/** Run the steps of a script, a line for each: its outcome, its name, and why it was skipped. */
export async function run(steps) {
  for (const [name, step] of Object.entries(steps)) {
    try {
      const reason = await step();
      console.log(reason ? `skipped ${name}: ${reason}` : `ok ${name}`);
    } catch (error) {
      process.exitCode = 1;
      console.log(`failed ${name}`);
      console.error(error);
    }
  }
}

export { assert };
