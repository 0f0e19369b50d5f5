// The conversations that this browser keeps: searched, opened, deleted, exported and imported.
import { begin, conversations, found, listed, openConversation, undelete } from "../data/conversations.js";
import { download, exported, imported } from "../data/transfer.js";
import { titleOf } from "../data/tree.js";
import { classes, html, useRef, useState, useStore, Icon } from "../lib/preact.js";
import { ICONS } from "../lib/icons.js";
import { remove } from "./actions.js";

/** @param {{ onChosen: () => void }} props */
export function Sidebar({ onChosen }) {
  const all = useStore(conversations, (state) => state.all);
  const open = useStore(conversations, (state) => state.open.id);
  const fault = useStore(conversations, (state) => state.fault);
  const deleted = useStore(conversations, (state) => state.deleted);
  const [wanted, setWanted] = useState("");
  const shown = found(all, wanted);
  return html`
    <div class="side-head">
      <button type="button" class="button is-wide" onClick=${() => (begin(), onChosen())}>
        <${Icon} path=${ICONS.plus} /> New conversation
      </button>
      <input type="search" class="input" placeholder="Search" aria-label="Search conversations" value=${wanted}
        onInput=${(/** @type {any} */ event) => setWanted(event.currentTarget.value)} />
    </div>
    <ul class="conversations">
      ${shown.map(
        (each) => html`
          <li key=${each.id} class=${classes("conversation", each.id === open && "is-current")}>
            <button type="button" class="conversation-open" aria-current=${each.id === open ? "true" : undefined}
              onClick=${() => (openConversation(each.id), onChosen())}>${titleOf(each)}</button>
            <button type="button" class="icon-button is-small" aria-label=${`Delete ${titleOf(each)}`} title="Delete"
              onClick=${() => remove(each.id)}><${Icon} path=${ICONS.trash} /></button>
          </li>
        `,
      )}
    </ul>
    ${!shown.length && html`<p class="quiet side-note">${wanted ? `Nothing has “${wanted}” in it.` : "No conversations yet."}</p>`}
    <p class="quiet side-note" role="status">
      ${deleted && html`Deleted “${titleOf(deleted)}”. <button type="button" class="button is-quiet" onClick=${undelete}>Undo</button>`}
    </p>
    ${fault && html`<p class="notice is-error">${fault}</p>`}
    <${Transfer} />
  `;
}

function Transfer() {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [told, setTold] = useState("");
  const read = async () => {
    const file = input.current?.files?.[0];
    if (!file) return;
    try {
      const count = await imported(await file.text());
      setTold(count === 1 ? "One conversation is here now." : `${count} conversations are here now.`);
    } catch (error) {
      setTold(error instanceof Error ? error.message : String(error));
    }
    if (input.current) input.current.value = "";
  };
  const write = () => download("caravan-conversations.json", exported(listed()));
  return html`
    <div class="side-foot">
      <button type="button" class="button is-quiet" onClick=${write}><${Icon} path=${ICONS.download} /> Export</button>
      <button type="button" class="button is-quiet" onClick=${() => input.current?.click()}>
        <${Icon} path=${ICONS.upload} /> Import</button>
      <input ref=${input} type="file" accept="application/json,.json" hidden tabindex="-1" aria-hidden="true"
        class="import-input" onChange=${read} />
      <p class="quiet side-note" role="status">${told}</p>
    </div>
  `;
}
