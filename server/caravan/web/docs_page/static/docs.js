// Asks for the OpenAPI document, with a key where the server wants one, and hands it to the viewer.
import { fitted } from "./fitted.js";
import { authorized, keptKey, keepKey } from "./key.js";
import { reading } from "./reading.js";
import { searching } from "./search.js";

const form = /** @type {HTMLFormElement} */ (document.getElementById("key-form"));
const field = /** @type {HTMLInputElement} */ (document.getElementById("key"));

/** Fetch a route below the page's own address. @param {string} path */
function ask(path) {
  const key = keptKey();
  return fetch(path, { headers: key ? { authorization: `Bearer ${key}` } : {}, credentials: "omit" });
}

async function start() {
  const answer = await ask("openapi.json");
  form.hidden = answer.status !== 401;
  if (answer.status === 401) {
    if (keptKey()) say("refusal", (await answer.json()).error.message);
    field.focus();
    return;
  }
  if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
  const models = await ask("v1/models");
  const known = models.ok ? (await models.json()).data : [];
  show(fitted(await answer.json(), known, new URL(".", location.href).pathname));
}

/** @param {Record<string, any>} spec */
function show(spec) {
  // The other script's.
  const ui = /** @type {any} */ (window).SwaggerUIBundle({
    spec,
    domNode: document.getElementById("viewer"),
    plugins: [searching(spec), authorized, reading],
    filter: true,
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    // It would be asked of a service elsewhere.
    validatorUrl: null,
    onComplete: () => keptKey() && ui.preauthorizeApiKey("key", keptKey()),
  });
}

/** @param {string} id @param {string} text */
function say(id, text) {
  const place = /** @type {HTMLElement} */ (document.getElementById(id));
  place.textContent = text;
  place.hidden = !text;
}

function begin() {
  start().catch((error) => say("trouble", `The routes cannot be shown: ${error.message}`));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  keepKey(field.value.trim());
  say("refusal", "");
  begin();
});
begin();
