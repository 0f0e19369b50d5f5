// The browser's own database, where conversations stay.

const NAME = "caravan";
const STORE = "conversations";

/** @type {Promise<IDBDatabase> | null} */
let opened = null;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "id" });
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
  return opened;
}

/**
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} act
 * @returns {Promise<T>}
 */
async function within(mode, act) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(STORE, mode);
    const asked = act(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(asked.result);
    transaction.onerror = () => reject(transaction.error);
    transaction.onabort = () => reject(transaction.error);
  });
}

/** @returns {Promise<import("./tree.js").Conversation[]>} */
export function allConversations() {
  return within("readonly", (store) => store.getAll());
}

/** @param {string} id @returns {Promise<import("./tree.js").Conversation | undefined>} */
export function oneConversation(id) {
  return within("readonly", (store) => store.get(id));
}

/** @param {import("./tree.js").Conversation} conversation */
export function putConversation(conversation) {
  return within("readwrite", (store) => store.put(conversation));
}

/** @param {string} id */
export function deleteConversation(id) {
  return within("readwrite", (store) => store.delete(id));
}
