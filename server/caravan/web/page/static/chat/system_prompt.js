// What the model is told before the conversation begins.
import { conversations, keep, setConversation } from "../data/conversations.js";
import { html, useStore } from "../lib/preact.js";

export function SystemPrompt() {
  const open = useStore(conversations, (state) => state.open);
  const change = (/** @type {any} */ event) => setConversation({ ...open, system: event.currentTarget.value });
  const isKept = Object.keys(open.messages).length > 0;
  return html`
    <details class="system">
      <summary>System prompt${open.system.trim() ? html`<span class="system-begin">${open.system}</span>` : ""}</summary>
      <textarea class="input" rows="4" aria-label="System prompt" placeholder="None" value=${open.system}
        onInput=${change} onChange=${() => isKept && keep(open.id)} />
    </details>
  `;
}
