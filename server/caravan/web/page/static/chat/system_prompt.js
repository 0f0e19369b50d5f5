// What the model is told before the conversation begins.
import { conversations, keep, setConversation } from "../data/conversations.js";
import { html, useStore } from "../lib/preact.js";

export function SystemPrompt() {
  const system = useStore(conversations, (state) => state.open.system);
  const change = (/** @type {any} */ event) =>
    setConversation({ ...conversations.get().open, system: event.currentTarget.value });
  const store = () => {
    const { open } = conversations.get();
    if (open.first) keep(open.id);
  };
  return html`
    <details class="system">
      <summary>System prompt${system.trim() ? html`<span class="system-begin">${system}</span>` : ""}</summary>
      <textarea class="input" rows="4" aria-label="System prompt" placeholder="None" value=${system}
        onInput=${change} onChange=${store} />
    </details>
  `;
}
