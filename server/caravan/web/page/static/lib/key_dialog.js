// The question for a key, where the server wants one.
import { giveKey, keyStore } from "../api/client.js";
import { html, useEffect, useRef, useStore } from "./preact.js";

export function KeyDialog() {
  const { isAsked, refusal } = useStore(keyStore, (state) => state);
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => {
    if (isAsked && !dialog.current?.open) dialog.current?.showModal();
    if (!isAsked) dialog.current?.close();
  }, [isAsked]);
  const give = (/** @type {Event} */ event) => {
    event.preventDefault();
    giveKey(input.current?.value ?? "");
  };
  const leave = (/** @type {Event} */ event) => {
    event.preventDefault();
    giveKey("");
  };
  return html`
    <dialog ref=${dialog} class="dialog" aria-labelledby="key-title" onCancel=${leave}>
      <form onSubmit=${give}>
        <h2 id="key-title">This server asks for a key</h2>
        <p>It is kept until this tab is closed, and sent to this server alone.</p>
        <label class="field">
          <span>Key</span>
          <input ref=${input} type="password" autocomplete="off" spellcheck="false" required
            aria-describedby=${refusal ? "key-refusal" : undefined} />
        </label>
        ${refusal && html`<p id="key-refusal" class="field-error" role="alert">${refusal}</p>`}
        <div class="dialog-end">
          <button type="button" class="button" onClick=${leave}>Not now</button>
          <button type="submit" class="button is-first">Use this key</button>
        </div>
      </form>
    </dialog>
  `;
}
