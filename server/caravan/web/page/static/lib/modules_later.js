// After the first paint: the modules, whose many requests would be in its way. A classic script.
(function () {
  function load() {
    document.head.append(document.getElementById("modules").content);
  }
  // A page in the background is not painted.
  if (document.hidden) load();
  else requestAnimationFrame(function () {
    setTimeout(load);
  });
})();
