/** Gives the page a language that `Intl` takes. Chromium in the locale "C" names none: it has "en-US@posix". Import it before modules that ask for it. */

try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en", configurable: true });
}
