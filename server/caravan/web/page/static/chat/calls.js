// Calls of tools, as they are written, and a place for what the tools gave.
import { html, useState } from "../lib/preact.js";
import { answerCalls } from "./actions.js";

/**
 * @typedef {import("../data/tree.js").Call} Call
 * @param {{ id: string, calls: Call[], canAnswer: boolean }} props
 */
export function Calls({ id, calls, canAnswer }) {
  const [results, setResults] = useState(/** @type {Record<string, string>} */ ({}));
  const send = (/** @type {Event} */ event) => {
    event.preventDefault();
    answerCalls(id, calls.map((call) => ({ callId: call.id, content: results[call.id] ?? "" })));
  };
  return html`
    <form class="calls" onSubmit=${send}>
      ${calls.map(
        (call, place) => html`
          <section key=${place} class="call" aria-label=${`Call of ${call.name}`}>
            <h3 class="call-name">${call.name}</h3>
            <pre class="call-arguments">${call.arguments}</pre>
            ${canAnswer && html`
              <label class="field">
                <span>Result of ${call.name}</span>
                <textarea class="input is-code" rows="2" value=${results[call.id] ?? ""}
                  onInput=${(/** @type {any} */ event) =>
                    setResults({ ...results, [call.id]: event.currentTarget.value })} />
              </label>`}
          </section>
        `,
      )}
      ${canAnswer && html`<button type="submit" class="button">Send ${calls.length > 1 ? "the results" : "the result"}</button>`}
    </form>
  `;
}
