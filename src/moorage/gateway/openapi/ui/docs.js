// Fields of a form begin empty, and what is empty is not sent: "string" is seldom what one wants to say.
function EmptyForms(system) {
  const sample = system.getSystem().fn.getSampleSchema;
  const getSampleSchema = (schema, type, ...rest) => {
    const field = schema && schema.toJS ? schema.toJS() : schema;
    if (type !== false || "default" in field || "example" in field) return sample(schema, type, ...rest);
    return field.type === "array" ? [] : "";
  };
  return { fn: { getSampleSchema }, components: { ParameterIncludeEmpty: () => null } };
}

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  validatorUrl: null,
  oauth2RedirectUrl: new URL("docs/oauth2-redirect", location.href).href,
  plugins: [EmptyForms],
});
