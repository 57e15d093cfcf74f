DROP TABLE authorizations, user_tokens;
