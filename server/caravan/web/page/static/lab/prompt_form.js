// The prompt of the Tokens view, how many tokens are to follow it, and the button that has them drawn.
import { CountInput } from "../lib/count_input.js";
import { html, useStore } from "../lib/preact.js";
import { askedOf, PromptInput } from "./prompt_input.js";
import { begin, session, stop } from "./session.js";

export function PromptForm() {
  const { prompt, steps, isBusy, fault } = useStore(session, (state) => state);
  const asked = askedOf(prompt);
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (asked) begin(asked);
  };
  return html`
    <form class="lab-form" onSubmit=${submit}>
      <${PromptInput} onSubmit=${submit} onStop=${isBusy ? stop : null} />
      <div class="lab-form-end">
        <label class="lab-steps">
          <span>tokens</span>
          <${CountInput} value=${steps} most=${64} onCount=${(/** @type {number} */ count) => session.set({ steps: count })} />
        </label>
        ${isBusy
          ? html`<button key="stop" type="button" class="button" onClick=${stop}>Stop</button>`
          : html`<button key="go" type="submit" class="button is-first" disabled=${!asked}>Go on</button>`}
      </div>
      ${fault && html`<p class="field-error" role="alert">${fault.message}</p>`}
    </form>
  `;
}
