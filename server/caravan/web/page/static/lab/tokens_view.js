// Tokens: a text token by token, tinted by surprise, and how each came to be drawn.
import { html, useStore } from "../lib/preact.js";
import { BranchList } from "./branch_list.js";
import { find } from "./branches.js";
import { PromptForm } from "./prompt_form.js";
import { goOn, lineOf, pick, session } from "./session.js";
import { StageTable } from "./stage_table.js";
import { StepHead } from "./step_head.js";
import { textsOf } from "./texts.js";
import { TintKey, TokenLine } from "./token_line.js";

export function View() {
  const state = useStore(session, (all) => all);
  return html`
    <div class="lab">
      <h1>Tokens</h1>
      <p class="lab-lead">See how each token was chosen, and send the text another way.</p>
      <${PromptForm} />
      ${state.tree.length > 0 && html`<${Text} state=${state} /><${Step} state=${state} />`}
    </div>
  `;
}

/** @param {{ state: import("./session.js").Session }} props */
export function Text({ state }) {
  const { tree, branch, step, isBusy } = state;
  const steps = lineOf(state);
  const { at, finish_reason: finish } = find(tree, branch);
  return html`
    <section class="lab-text" aria-label="The text" aria-busy=${isBusy}>
      <${BranchList} tree=${tree} branch=${branch} />
      ${steps.length > 0
        ? html`<${TokenLine} steps=${steps} chosen=${step} own=${at} label="Tokens, by arrow keys"
            onChoose=${(/** @type {number} */ place) => session.set({ step: place })} />`
        : html`<p class="quiet">The text ends here: nothing was drawn.</p>`}
      <div class="lab-text-end">
        <${TintKey} />
        ${finish
          ? html`<span class="quiet">the text ended here: ${finish}</span>`
          : html`<button type="button" class="button is-quiet" disabled=${isBusy} onClick=${goOn}>Further tokens</button>`}
      </div>
    </section>
  `;
}

/** @param {{ state: import("./session.js").Session }} props */
function Step({ state }) {
  const { tree, branch, step: place, isBusy } = state;
  const steps = lineOf(state);
  const step = steps[place];
  if (!step) return null;
  const texts = textsOf(step);
  return html`
    <section class="lab-step" aria-label="How this token was chosen">
      <${StepHead} steps=${steps} place=${place} />
      <${StageTable} stages=${step.stages} parameters=${find(tree, branch).parameters} drawnId=${step.token.id}
        textOf=${(/** @type {number} */ id) => texts.get(id) ?? `#${id}`} onPick=${pick} isBusy=${isBusy}
        caption=${`Candidates for token ${place + 1}, stage by stage`} />
      <p class="lab-hint">
        Choose another candidate, and the text goes on from there. <a href="#/whatif">What if</a> the parameters were
        different here?
      </p>
    </section>
  `;
}
