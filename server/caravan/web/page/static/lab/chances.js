// How likely each candidate is to be drawn, with the parameters as they were and as they are now.
import { html } from "../lib/preact.js";
import { share, shown } from "./waterfall.js";

const MOST = 10;

/**
 * @typedef {import("./rank.js").Ranked} Ranked
 * @param {{ before: Ranked[], after: Ranked[], textOf: (id: number) => string }} props
 */
export function Chances({ before, after, textOf }) {
  const [was, is] = [before, after].map((ranked) => chancesOf(ranked[ranked.length - 1]));
  const all = [...new Set([...was.keys(), ...is.keys()])]
    .map((id) => ({ id, was: was.get(id) ?? 0, is: is.get(id) ?? 0 }))
    .sort((one, other) => Math.max(other.was, other.is) - Math.max(one.was, one.is));
  const shownOnes = all.slice(0, MOST);
  const top = Math.max(...shownOnes.map((one) => Math.max(one.was, one.is)));
  const rest = { was: restOf(shownOnes.map((one) => one.was)), is: restOf(shownOnes.map((one) => one.is)) };
  return html`
    <table class="lab-chances">
      <caption>Chance to be drawn</caption>
      <thead>
        <tr><th scope="col">token</th><th scope="col">before</th><th scope="col">now</th>
          <th scope="col"><span class="heard-only">change</span></th></tr>
      </thead>
      <tbody>
        ${shownOnes.map((one) => html`
          <${Chance} key=${one.id} name=${html`<span class="lab-chip">${shown(textOf(one.id))}</span>`} ...${one} top=${top} />`)}
        ${(rest.was > 0 || rest.is > 0) && html`<${Chance} key="rest" name="all others" ...${rest} top=${top} />`}
      </tbody>
    </table>
  `;
}

/** @param {{ name: any, was: number, is: number, top: number }} props */
function Chance({ name, was, is, top }) {
  const difference = is - was;
  const isCut = is === 0 && was > 0;
  const sign = Math.abs(difference) < 0.0005 ? "" : difference > 0 ? "+" : "−";
  return html`
    <tr>
      <th scope="row">${name}</th>
      <td><${Bar} part=${was / top} kind="was" />${share(was)}</td>
      <td><${Bar} part=${is / top} kind="is" />${isCut ? html`<span class="lab-cutmark">cut</span>` : share(is)}</td>
      <td class="lab-change">${sign && `${sign}${share(Math.abs(difference))}`}</td>
    </tr>
  `;
}

/** @param {{ part: number, kind: "was" | "is" }} props */
function Bar({ part, kind }) {
  return html`
    <svg class="lab-chance-bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      <rect class=${`lab-bar-${kind}`} width=${100 * Math.min(part, 1)} height="10" />
    </svg>
  `;
}

/** @param {Ranked} stage @returns {Map<number, number>} */
function chancesOf({ candidates }) {
  return new Map(candidates.map(({ id, probability }) => [id, probability]));
}

/** What all others have together; nothing where it is a matter of rounding. @param {number[]} shares */
function restOf(shares) {
  const rest = 1 - shares.reduce((total, value) => total + value, 0);
  return rest > 1e-6 ? rest : 0;
}
