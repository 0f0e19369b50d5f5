// The request that the Chat would send now, in four languages.
import { address, keyStore } from "../api/client.js";
import { useCopy } from "../lib/copy.js";
import { html, useState, useStore, Icon } from "../lib/preact.js";
import { ICONS } from "../lib/icons.js";
import { asCurl, asJavaScript, asJson, asPython } from "./code.js";
import { useCurrentRequest } from "./current.js";

const FORMS = [
  { id: "json", title: "JSON", write: asJson },
  { id: "curl", title: "curl", write: asCurl },
  { id: "python", title: "Python", write: asPython },
  { id: "javascript", title: "JavaScript", write: asJavaScript },
];

export function View() {
  const { body, faults } = useCurrentRequest();
  const hasKey = useStore(keyStore, (state) => state.key !== "");
  const [chosen, setChosen] = useState("curl");
  const form = FORMS.find(({ id }) => id === chosen) ?? FORMS[0];
  const code = form.write({ body, base: address("v1"), hasKey });
  return html`
    <div class="page">
      <h1>Request</h1>
      <p class="quiet">What Send in the Chat would send now: the conversation, what is typed, and the parameters.</p>
      ${faults.map(({ field, message }) => html`<p key=${field} class="notice is-error">${field}: ${message}</p>`)}
      <div class="code-head">
        <div class="choices" role="group" aria-label="Written as">
          ${FORMS.map(({ id, title }) => html`
            <button key=${id} type="button" class="choice" aria-pressed=${id === form.id} onClick=${() => setChosen(id)}>${title}</button>`)}
        </div>
        <${Copy} key=${code} code=${code} />
      </div>
      <pre class="code" tabindex="0" role="region" aria-label=${`The request as ${form.title}`}><code>${code}</code></pre>
    </div>
  `;
}

/** @param {{ code: string }} props */
function Copy({ code }) {
  const { told, copy } = useCopy(code);
  return html`<button type="button" class="button" onClick=${copy}><${Icon} path=${ICONS.copy} /> ${told}</button>`;
}
