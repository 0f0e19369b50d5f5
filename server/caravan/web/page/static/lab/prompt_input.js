// What the model is to go on with: a text as it stands, a message, or the conversation of the Chat view.
import { html, useStore } from "../lib/preact.js";
import { currentRequest } from "../request/current.js";
import { session } from "./session.js";

/** @typedef {import("./session.js").Prompt["kind"]} Kind */

/** @type {{ kind: Kind, label: string }[]} */
const KINDS = [
  { kind: "text", label: "a text to continue" },
  { kind: "message", label: "a message to answer" },
  { kind: "chat", label: "the Chat’s conversation" },
];

/** @param {{ onSubmit: (event: Event) => void, onStop: (() => void) | null }} props */
export function PromptInput({ onSubmit, onStop }) {
  const prompt = useStore(session, (state) => state.prompt);
  const set = (/** @type {Partial<import("./session.js").Prompt>} */ part) => session.set({ prompt: { ...prompt, ...part } });
  const asked = askedOf(prompt);
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) onSubmit(event);
    if (event.key === "Escape" && onStop) onStop();
  };
  return html`
    <div class="lab-prompt" onKeyDown=${onKey}>
      <div class="choices" role="group" aria-label="The prompt is">
        ${KINDS.map(({ kind, label }) => html`
          <button key=${kind} type="button" class="choice" aria-pressed=${prompt.kind === kind}
            onClick=${() => set({ kind })}>${label}</button>`)}
      </div>
      ${prompt.kind === "chat"
        ? html`<p class="quiet">${asked ? summary(asked) : "No message has been written in the Chat view yet."}</p>`
        : html`<textarea class="input" rows="2" aria-label="Prompt" value=${prompt.text}
            onInput=${(/** @type {any} */ event) => set({ text: event.currentTarget.value })} />`}
    </div>
  `;
}

/** The prompt as the request has it, null while there is none. @param {import("./session.js").Prompt} prompt @returns {Record<string, unknown> | null} */
export function askedOf({ kind, text }) {
  if (kind === "text") return text ? { prompt: text } : null;
  if (kind === "message") return text.trim() ? { messages: [{ role: "user", content: text }] } : null;
  const { messages, tools, tool_choice, response_format, grammar, regex, structured_outputs, chat_template_kwargs } =
    /** @type {Record<string, any>} */ (currentRequest().body);
  if (!messages.some((/** @type {{ role: string }} */ { role }) => role !== "system")) return null;
  const others = { tools, tool_choice, response_format, grammar, regex, structured_outputs, chat_template_kwargs };
  return { messages, ...Object.fromEntries(Object.entries(others).filter(([, value]) => value !== undefined)) };
}

/** @param {Record<string, any>} asked */
function summary({ messages }) {
  const { role, content } = messages[messages.length - 1];
  const begin = String(content ?? "").trim().replace(/\s+/g, " ").slice(0, 120);
  return `${messages.length} ${messages.length === 1 ? "message" : "messages"}, the last by the ${role}: ${begin}`;
}
