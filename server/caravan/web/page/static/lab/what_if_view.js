// What if: the stored logits of a step, ranked anew at once for other parameters.
import { html, useEffect, useMemo, useState, useStore } from "../lib/preact.js";
import { find, prefix } from "./branches.js";
import { Chances } from "./chances.js";
import { Knobs } from "./knobs.js";
import { rankStep, verdict } from "./rank.js";
import { lineOf, promptIds, runFromHere, session } from "./session.js";
import { StageTable } from "./stage_table.js";
import { StepHead } from "./step_head.js";
import { textsOf } from "./texts.js";
import { Text } from "./tokens_view.js";
import { brief } from "./words.js";

/** @typedef {import("./rank.js").Parameters} Parameters */

export function View() {
  const state = useStore(session, (all) => all);
  return html`
    <div class="lab">
      <h1>What if</h1>
      <p class="lab-lead">Move a slider: the model’s own logits of this step are ranked anew, here in the browser.</p>
      ${state.tree.length > 0
        ? html`<${Text} state=${state} /><${Step} state=${state} />`
        : html`<p class="lab-empty">There is no text yet. <a href="#/tokens">Let the model write one</a> first.</p>`}
    </div>
  `;
}

/** @param {{ state: import("./session.js").Session }} props */
function Step({ state }) {
  const { tree, branch, step: place, isBusy, fault } = state;
  const [changes, setChanges] = useState(/** @type {Parameters} */ ({}));
  const [acts, setActs] = useState(true);
  const prompt = usePromptIds(state.asked);
  // A branch has its parameters; what was tried before it is either in them or done with.
  useEffect(() => setChanges({}), [branch]);
  const steps = lineOf(state);
  const step = steps[place];
  const before = find(tree, branch).parameters;
  const parameters = { ...before, ...changes };
  const ranked = useMemo(
    () => (step && !step.forced ? ranking({ steps, place, before, parameters, acts, prompt }) : null),
    [step, before, changes, acts, prompt],
  );
  if (!step) return null;
  if (!ranked) return html`<p class="lab-empty">The constraint left one token here, so nothing was drawn.</p>`;
  const texts = textsOf(step);
  const textOf = (/** @type {number} */ id) => texts.get(id) ?? `#${id}`;
  const doubt = verdict(ranked.after);
  return html`
    <section class="lab-step lab-what-if" aria-label="This step with other parameters">
      <${StepHead} steps=${steps} place=${place} />
      <${Knobs} before=${before} changes=${changes} onChange=${setChanges} acts=${acts} onActs=${setActs} />
      <div class="lab-what-if-main">
        <${Chances} before=${ranked.before} after=${ranked.after} textOf=${textOf} />
        ${doubt && html`<p class="lab-doubt" role="status"><strong>Not known exactly here.</strong> ${doubt}.</p>`}
        <div class="lab-run">
          <button type="button" class="button is-first" disabled=${isBusy || !Object.keys(changes).length}
            onClick=${() => runFromHere(sent(changes))}>Run from here</button>
          <span class="quiet">${changed(changes)}</span>
        </div>
        ${fault && html`<p class="field-error" role="alert">${fault.message}</p>`}
        <${StageTable} stages=${[...base(step, ranked.after), ...ranked.after]} parameters=${parameters} drawnId=${null}
          textOf=${textOf} caption=${`Candidates for token ${place + 1} with these parameters, stage by stage`} />
      </div>
    </section>
  `;
}

/**
 * @param {{
 *   steps: import("./branches.js").Step[], place: number, before: Parameters, parameters: Parameters, acts: boolean,
 *   prompt: number[] | null,
 * }} of
 */
function ranking({ steps, place, before, parameters, acts, prompt }) {
  const { stages } = steps[place];
  const circumstances = {
    acts,
    mu: stages[stages.length - 1].mu?.before,
    numTokens: stages[0].left,
    context: prompt && [...prompt, ...prefix(steps, place)],
  };
  const did = stages.some(({ name, cut }) => name === "xtc" && cut > 0);
  return {
    before: rankStep(stages, before, before, { ...circumstances, acts: did }),
    after: rankStep(stages, before, parameters, circumstances),
  };
}

/** The told stages before those that were ranked. @param {import("./branches.js").Step} step @param {import("./rank.js").Ranked[]} ranked */
function base(step, ranked) {
  const names = new Set(ranked.map(({ name }) => name));
  const first = ["raw", "bias", "penalties", "dry", "mask"];
  return step.stages.filter(({ name }) => first.includes(name) && !names.has(name));
}

/** The prompt's token ids, null until they are there. @param {Record<string, unknown> | null} asked */
function usePromptIds(asked) {
  const [ids, setIds] = useState(/** @type {number[] | null} */ (null));
  useEffect(() => {
    setIds(null);
    let isGone = false;
    promptIds().then(
      (found) => isGone || setIds(found),
      () => {},
    );
    return () => {
      isGone = true;
    };
  }, [asked]);
  return ids;
}

/** A list that names the temperature turns off what it does not name. @param {Parameters} changes @returns {Parameters} */
function sent(changes) {
  const { samplers } = changes;
  if (!samplers) return changes;
  if (samplers[samplers.length - 1] === "temperature") return { ...changes, samplers: samplers.slice(0, -1) };
  return { ...changes, samplers: ["penalties", "dry", ...samplers] };
}

/** @param {Parameters} changes */
function changed(changes) {
  const named = Object.entries(changes).map(([name, value]) => `${name} ${brief(value)}`);
  return named.length ? `with ${named.join(", ")}` : "Nothing is changed yet.";
}
