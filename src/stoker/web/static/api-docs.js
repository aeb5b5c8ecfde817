// Starts the page that shows the API: from this host only, and with nothing sent anywhere else.
"use strict";
const root = document.getElementById("api");
SwaggerUIBundle({
  domNode: root,
  url: root.dataset.document,
  validatorUrl: null,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
});
