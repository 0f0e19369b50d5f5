// One message: who says it, its words, its thought, its calls, and what can be done with it.
import { classes, html, Icon, memo, useEffect, useRef, useState } from "../lib/preact.js";
import { useCopy } from "../lib/copy.js";
import { ICONS } from "../lib/icons.js";
import { askAgain, editMessage, show } from "./actions.js";
import { Calls } from "./calls.js";
import { Facts } from "./facts.js";
import { Markdown } from "./markdown.js";

/**
 * `place` and `siblings` say which of its siblings it is; `isLast`, whether anything has come after it.
 * @typedef {{
 *   message: import("../data/tree.js").Message, siblings: string, isWriting: boolean, isLast: boolean, isBusy: boolean,
 * }} MessageProps
 */

export const MessageView = memo((/** @type {MessageProps} */ props) => {
  const { message, isWriting } = props;
  const [isEdited, setEdited] = useState(false);
  const who = message.role === "user" ? "You" : message.role === "tool" ? "Result" : (message.model ?? "Model");
  return html`
    <article class=${classes("message", `is-${message.role}`)} aria-label=${who} aria-busy=${isWriting}>
      <h2 class="message-who">${who}</h2>
      ${isEdited
        ? html`<${Editor} message=${message} isBusy=${props.isBusy} onDone=${() => setEdited(false)} />`
        : html`<${Words} ...${props} />`}
      ${!isEdited && html`<${Foot} ...${props} onEdit=${() => setEdited(true)} />`}
    </article>
  `;
});

/** @param {MessageProps} props */
function Words({ message, isWriting, isLast, isBusy }) {
  const { role, content, reasoning, calls, error } = message;
  const isPlain = role !== "assistant";
  return html`
    ${reasoning && html`<${Thought} text=${reasoning} isWriting=${isWriting && !content && !calls} />`}
    ${isPlain
      ? html`<div class="plain">${content}</div>`
      : content && html`<${Markdown} text=${content} />`}
    ${calls && html`<${Calls} id=${message.id} calls=${calls} canAnswer=${isLast && !isBusy} />`}
    ${isWriting && html`<span class="cursor" aria-hidden="true"></span>`}
    ${error && html`<p class="notice is-error">${error}</p>`}
  `;
}

/** @param {{ text: string, isWriting: boolean }} props */
function Thought({ text, isWriting }) {
  return html`
    <details class="thought">
      <summary>${isWriting ? "Thinking …" : "Thought"}</summary>
      <div class="plain">${text}</div>
    </details>
  `;
}

/** @param {MessageProps & { onEdit: () => void }} props */
function Foot({ message, siblings, isWriting, isBusy, onEdit }) {
  const { told, copy } = useCopy(message.content);
  const { role, id } = message;
  return html`
    <footer class="message-foot">
      <${Siblings} id=${id} siblings=${siblings} />
      ${!isWriting && html`
        <button type="button" class="icon-button is-small" onClick=${copy} aria-label=${told}
          title=${told}><${Icon} path=${ICONS.copy} /></button>
        ${role === "user" && html`<button type="button" class="icon-button is-small" disabled=${isBusy} onClick=${onEdit}
          aria-label="Edit" title="Edit, in a branch"><${Icon} path=${ICONS.edit} /></button>`}
        ${role === "assistant" && html`<button type="button" class="icon-button is-small" disabled=${isBusy}
          onClick=${() => askAgain(id)} aria-label="Answer again" title="Answer again, in a branch">
          <${Icon} path=${ICONS.again} /></button>`}
      `}
      ${message.facts && html`<${Facts} facts=${message.facts} />`}
    </footer>
  `;
}

/** Which of the branches is shown, and the ways to the others. @param {{ id: string, siblings: string }} props */
function Siblings({ id, siblings }) {
  const ids = siblings.split(" ");
  if (ids.length < 2) return null;
  const place = ids.indexOf(id);
  const step = (/** @type {number} */ by, /** @type {string} */ label, /** @type {string} */ path) => html`
    <button type="button" class="icon-button is-small" aria-label=${label} title=${label}
      disabled=${!ids[place + by]} onClick=${() => show(ids[place + by])}><${Icon} path=${path} /></button>`;
  return html`
    <span class="siblings" role="group" aria-label="Branches">
      ${step(-1, "Earlier branch", ICONS.left)}
      <span>${place + 1} of ${ids.length}</span>
      ${step(1, "Later branch", ICONS.right)}
    </span>
  `;
}

/**
 * Gone once its text is sent, since then another branch is shown; a text that cannot be sent stays.
 * @param {{ message: import("../data/tree.js").Message, isBusy: boolean, onDone: () => void }} props
 */
function Editor({ message, isBusy, onDone }) {
  const [text, setText] = useState(message.content);
  const area = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  useEffect(() => area.current?.focus(), []);
  const send = (/** @type {Event} */ event) => {
    event.preventDefault();
    editMessage(message.id, text);
  };
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") onDone();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(event);
  };
  return html`
    <form class="editor" onSubmit=${send}>
      <textarea class="input" aria-label="Edited message" rows="4" value=${text} onKeyDown=${onKey}
        ref=${area}
        onInput=${(/** @type {any} */ event) => setText(event.currentTarget.value)} />
      <div class="editor-end">
        <button type="button" class="button" onClick=${onDone}>Cancel</button>
        <button type="submit" class="button is-first" disabled=${isBusy || !text.trim()}>Send in a branch</button>
      </div>
    </form>
  `;
}
