// The menu of models.
import { chooseModel, loadModels, modelStore, usable } from "../api/models.js";
import { html, useStore } from "../lib/preact.js";
import { settings } from "./settings.js";

export function ModelMenu() {
  const { models, error } = useStore(modelStore, (state) => state);
  const model = useStore(settings, (state) => state.model);
  if (error) {
    return html`<button type="button" class="button is-error" title=${error} onClick=${loadModels}>
      No models: try again
    </button>`;
  }
  const choose = (/** @type {{ currentTarget: HTMLSelectElement }} */ event) =>
    chooseModel(event.currentTarget.value);
  return html`
    <div class="model-menu">
      <select class="select" aria-label="Model" value=${model} onChange=${choose}>
        ${usable(models).map(
          ({ id, status }) => html`
            <option key=${id} value=${id} selected=${id === model}>
              ${id}${status === "loaded" ? "" : ` (${status})`}
            </option>
          `,
        )}
      </select>
    </div>
  `;
}
