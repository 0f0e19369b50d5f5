// The server's API as this page calls it: same origin, with the key if there is one, errors as `ApiError`.
import { createStore } from "../lib/store.js";

const KEY = "caravan.key";

/** What the server said no with: its words, and the field that they are about. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{ status?: number, param?: string | null, code?: string | null }} [about]
   */
  constructor(message, { status = 0, param = null, code = null } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.param = param;
    this.code = code;
  }
}

/**
 * The key lasts as long as the browser's tab. `asked` holds those who wait until one has been given. */
export const keyStore = createStore(/** @type {{ key: string, isAsked: boolean, refusal: string, numDeclined: number }} */ ({ key: keptKey(), isAsked: false, refusal: "", numDeclined: 0 }));

/** @type {((isGiven: boolean) => void)[]} */
let waiting = [];

/** The address of a route, below the one that the page came from. @param {string} path */
export function address(path) {
  return new URL(path.replace(/^\//, ""), document.baseURI.replace(/[#?].*$/, "")).href;
}

/**
 * Call a route; asks the reader for a key where the server wants one. Raises ApiError.
 * @param {string} path
 * @param {{ method?: string, body?: unknown, signal?: AbortSignal, headers?: Record<string, string>, bySelf?: boolean }} [options]
 * `bySelf`: nobody did anything for this call, so it does not ask a reader who has said "not now"
 * @returns {Promise<Response>}
 */
export async function request(path, { method, body, signal, headers = {}, bySelf = false } = {}) {
  for (;;) {
    const { key, numDeclined } = keyStore.get();
    const response = await send(path, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(key ? { authorization: `Bearer ${key}` } : {}),
        ...headers,
      },
    });
    if (response.ok) return response;
    const error = await readError(response);
    if (response.status !== 401) throw error;
    const now = keyStore.get();
    // What was on its way when the reader said "not now" does not ask again.
    if (now.numDeclined !== numDeclined || (bySelf && now.numDeclined && now.key === key)) throw error;
    if (now.key === key && !(await askForKey(key ? error.message : ""))) throw error;
  }
}

/**
 * Call a route that answers with JSON.
 * @param {string} path
 * @param {Parameters<typeof request>[1]} [options]
 * @returns {Promise<any>} what the route's schema says
 */
export async function requestJson(path, options) {
  return (await request(path, options)).json();
}

/** Take the key that the reader has typed; an empty one gives up. @param {string} key */
export function giveKey(key) {
  const trimmed = key.trim();
  try {
    if (trimmed) sessionStorage.setItem(KEY, trimmed);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Then it lasts as long as the page.
  }
  keyStore.set(({ numDeclined }) => ({ key: trimmed, isAsked: false, refusal: "", numDeclined: numDeclined + (trimmed ? 0 : 1) }));
  const told = waiting;
  waiting = [];
  for (const tell of told) tell(trimmed !== "");
}

/** @param {string} refusal why the last one was not taken @returns {Promise<boolean>} */
function askForKey(refusal) {
  keyStore.set({ isAsked: true, refusal });
  return new Promise((resolve) => waiting.push(resolve));
}

/**
 * @param {string} path
 * @param {RequestInit} options
 */
async function send(path, options) {
  try {
    return await fetch(address(path), { ...options, credentials: "omit" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached. Does it still run?");
  }
}

/** @param {Response} response */
async function readError(response) {
  const { status } = response;
  try {
    const { error } = await response.json();
    return new ApiError(error.message, { status, param: error.param, code: error.code });
  } catch {
    return new ApiError(`The server answered ${status} ${response.statusText}`.trim(), { status });
  }
}

function keptKey() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}
