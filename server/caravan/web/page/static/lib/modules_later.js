// After the first paint: the modules, whose many requests would be in its way. A classic script.
(function () {
  function load() {
    var modules = document.getElementById("modules").content;
    // Also when one that it imports did not come.
    modules.querySelector("script").onerror = function () {
      var notice = document.createElement("p");
      notice.className = "notice is-error";
      notice.setAttribute("role", "alert");
      notice.textContent = "A part of this page did not load. Reload it to try again.";
      document.getElementById("app").append(notice);
    };
    document.head.append(modules);
  }
  // A page in the background is not painted.
  if (document.hidden) load();
  else requestAnimationFrame(function () {
    setTimeout(load);
  });
})();
