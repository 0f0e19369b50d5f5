// The Chat: conversations at one side, messages in the middle, what requests are made with at the other.
import { conversations, followOtherTabs, readConversations } from "../data/conversations.js";
import { classes, html, useEffect, useRef, useState, useStore, Icon } from "../lib/preact.js";
import { ICONS } from "../lib/icons.js";
import { ParameterPanel } from "../params/panel.js";
import { isRunning, running } from "./actions.js";
import { Composer } from "./composer.js";
import { MessageList } from "./list.js";
import { Sidebar } from "./sidebar.js";
import { SystemPrompt } from "./system_prompt.js";

let isRead = false;

export function View() {
  const open = useStore(conversations, (state) => state.open.id);
  const writing = useStore(running, (state) => state.byConversation[open]?.id ?? "");
  const [drawer, setDrawer] = useState(/** @type {"" | "side" | "params"} */ (""));
  useEffect(() => {
    if (!isRead) followOtherTabs(isRunning), readConversations();
    isRead = true;
  }, []);
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const close = () => {
    setDrawer("");
    if (drawer) /** @type {HTMLElement | null} */ (root.current?.querySelector(`[data-drawer=${drawer}]`))?.focus();
  };
  useEffect(() => {
    const inner = root.current?.querySelector("aside.is-open :is(button, input, select)");
    /** @type {HTMLElement | null | undefined} */ (inner)?.focus();
  }, [drawer]);
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape" && drawer) close();
  };
  const toggle = (/** @type {"side" | "params"} */ name, /** @type {string} */ label, /** @type {string} */ path) => html`
    <button type="button" class="icon-button drawer-toggle" aria-expanded=${drawer === name} aria-label=${label}
      title=${label} data-drawer=${name} onClick=${() => setDrawer(drawer === name ? "" : name)}><${Icon} path=${path} /></button>`;
  return html`
    <div class="chat" ref=${root} onKeyDown=${onKey}>
      <h1 class="heard-only">Chat</h1>
      <aside class=${classes("side", drawer === "side" && "is-open")} aria-label="Conversations">
        <${Sidebar} onChosen=${close} />
      </aside>
      <section class="talk" aria-label="Chat">
        <div class="talk-head">
          ${toggle("side", "Conversations", ICONS.menu)}
          <${SystemPrompt} />
          ${toggle("params", "Parameters", ICONS.sliders)}
        </div>
        <${MessageList} writing=${writing} />
        <${Composer} isBusy=${writing !== ""} />
      </section>
      <aside class=${classes("panel", drawer === "params" && "is-open")} aria-label="Parameters">
        <${ParameterPanel} />
      </aside>
      ${drawer && html`<div class="veil" onClick=${close}></div>`}
    </div>
  `;
}
