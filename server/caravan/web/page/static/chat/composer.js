// Where the reader writes.
import { conversations } from "../data/conversations.js";
import { html, useEffect, useRef, useState, useStore, Icon } from "../lib/preact.js";
import { ICONS } from "../lib/icons.js";
import { sendDraft, stop } from "./actions.js";
import { asMessagePart } from "./attachments.js";

const MOST_PIXELS = 260;

/** @param {{ isBusy: boolean }} props */
export function Composer({ isBusy }) {
  const draft = useStore(conversations, (state) => state.draft);
  const open = useStore(conversations, (state) => state.open.id);
  const [fault, setFault] = useState("");
  const area = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  useEffect(() => fit(area.current), [draft]);
  useEffect(() => area.current?.focus(), [open]);
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape" && isBusy) stop();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    sendDraft();
  };
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    sendDraft();
  };
  return html`
    <form class="composer" onSubmit=${submit}>
      ${fault && html`<p class="field-error" role="alert">${fault}</p>`}
      <div class="composer-box">
        <${Attach} onFault=${setFault} />
        <textarea ref=${area} class="composer-text" rows="1" aria-label="Message" placeholder="Write a message"
          value=${draft} onKeyDown=${onKey}
          onInput=${(/** @type {any} */ event) => conversations.set({ draft: event.currentTarget.value })} />
        ${isBusy
          ? html`<button key="stop" type="button" class="round-button" onClick=${stop} aria-label="Stop" title="Stop (Escape)">
              <${Icon} path=${ICONS.stop} /></button>`
          : html`<button key="send" type="submit" class="round-button" disabled=${!draft.trim()} aria-label="Send" title="Send (Enter)">
              <${Icon} path=${ICONS.send} /></button>`}
      </div>
    </form>
  `;
}

/** @param {{ onFault: (text: string) => void }} props */
function Attach({ onFault }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const take = async () => {
    const files = [...(input.current?.files ?? [])];
    onFault("");
    for (const file of files) {
      try {
        const part = await asMessagePart(file);
        conversations.set(({ draft }) => ({ draft: draft ? `${draft.replace(/\n*$/, "\n\n")}${part}` : part }));
      } catch (error) {
        onFault(error instanceof Error ? error.message : String(error));
      }
    }
    if (input.current) input.current.value = "";
  };
  return html`
    <input ref=${input} type="file" multiple hidden tabindex="-1" aria-hidden="true" class="file-input" onChange=${take} />
    <button type="button" class="icon-button" onClick=${() => input.current?.click()} aria-label="Attach text files"
      title="Attach text files: they are put into the message"><${Icon} path=${ICONS.attach} /></button>
  `;
}

/** As high as its text, up to a limit. @param {HTMLTextAreaElement | null} area */
function fit(area) {
  if (!area) return;
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight, MOST_PIXELS)}px`;
}
