if (window.opener && window.opener.swaggerUIRedirectOauth2) {
  const script = document.createElement("script");
  script.src = "assets/oauth2-redirect.js";
  document.body.append(script);
}
