// It sets a global, which `chat/markdown.js` takes from there.
export {};
