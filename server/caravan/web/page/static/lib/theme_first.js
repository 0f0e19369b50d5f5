// Before anything is painted: the theme that was chosen last. A classic script, since modules come later.
(function () {
  var theme = null;
  try {
    theme = localStorage.getItem("caravan.theme");
  } catch (error) {
    // Without storage the system's theme holds.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
