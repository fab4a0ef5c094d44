// ReDoc over the document of this platform. Nothing is fetched from elsewhere.
Redoc.init("openapi.json", {
  hideLoading: true,
  nativeScrollbars: true,
  pathInMiddlePanel: true,
  requiredPropsFirst: true,
  scrollYOffset: 40,
  theme: { typography: { fontFamily: "system-ui, sans-serif", headings: { fontFamily: "system-ui, sans-serif" } } },
}, document.getElementById("page"));
